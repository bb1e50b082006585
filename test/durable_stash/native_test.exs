defmodule DurableStash.NativeTest do
  # Not async: a fault that one test asks for could meet another.
  use DurableStash.NativeCase, async: false

  @megabyte 1_048_576

  # What a caller may have to wait for before something is wrong.
  @patience 5_000

  describe "an engine" do
    test "counts and says how it fares", %{engine: engine} do
      session = open(engine)
      {:ok, 1, []} = stash(session, [{"k", 1}])
      assert flush(session) == :ok

      # Whoever flushes is told before it is counted.
      assert eventually(fn ->
               match?(
                 %{commits: 1, live_sessions: 1, saved_ops: 1, events_dropped: 0},
                 Native.engine_stats(engine)
               )
             end)

      assert {:ready, nil} = Native.engine_health(engine)
    end

    test "hands its events to one observer, without the sid", %{engine: engine} do
      :ok = Native.engine_observe(engine, self())
      session = open(engine, sid: "the very secret sid")
      {:ok, 1, []} = stash(session, [{"k", 1}])
      assert flush(session) == :ok
      assert_receive {:durable_stash_events, events}, @patience

      assert %{measurements: measurements, metadata: %{session: tag, rev: 1}} =
               Enum.find(events, &(&1.event == :commit))

      assert %{bytes: bytes, ops: 1, attempts: 1, age_ms: _} = measurements
      assert bytes > 100
      assert tag =~ ~r/^[0-9a-f]{8}$/
      refute inspect(events) =~ "secret sid"

      :ok = Native.engine_observe(engine, nil)
      {:ok, 2, []} = stash(session, [{"k", 2}])
      flush(session)
      refute_receive {:durable_stash_events, _}, 100
    end

    test "drains: everything is saved, its last events come before the reply, and then it is down",
         %{engine: engine, store: store} do
      Native.test_store_latency(store, 20)
      :ok = Native.engine_observe(engine, self())
      sessions = for n <- 1..20, do: open(engine, sid: "sid #{n}")
      for session <- sessions, do: {:ok, 1, []} = stash(session, [{"k", 1}])

      id = id()
      {:ok, _request} = Native.engine_drain(engine, @patience, id)
      messages = messages_until(id)
      assert {:durable_stash, ^id, {:ok, report}} = List.last(messages)
      assert %{unsaved_ops: 0, unsaved_sessions: 0, saved_sessions: saved} = report
      assert saved > 0

      commits =
        for {:durable_stash_events, events} <- messages,
            %{event: :commit} = event <- events,
            do: event

      assert length(commits) == 20

      [session | _] = sessions
      assert {:error, {:engine_down, message}} = stash(session, [{"k", 2}])
      assert is_binary(message)
      assert {:error, {:engine_down, _}} = Native.session_reset(session)
      assert {:error, {:engine_down, _}} = recover(session)
      assert {:error, {:engine_down, _}} = Native.session_open(engine, claim([]))
      assert {:error, {:engine_down, _}} = forget(engine, "sid 1")
      assert {1, 1, 0, :saved, nil, false, true} = Native.session_status(session)
      assert %{} = Native.engine_stats(engine)
      assert {_, _} = Native.engine_health(engine)
    end

    test "drains to the end although nobody holds it any more", %{store: store} = context do
      {pid, monitor} =
        spawn_monitor(fn ->
          {:ok, engine} = Native.engine_start(options(store, context))
          session = open(engine, sid: "of an orphan")
          # The first write shows that the store is proven; the second is under way when everybody is gone.
          {:ok, 1, []} = stash(session, [{"k", 1}])
          :ok = flush(session)
          Native.test_store_latency(store, 200)
          {:ok, 2, []} = stash(session, [{"k", "of an orphan"}])
          {:ok, _request} = Native.engine_drain(engine, @patience, 1)
        end)

      assert_receive {:DOWN, ^monitor, :process, ^pid, :normal}, @patience

      assert eventually(fn ->
               Enum.any?(Native.test_store_dump(store), fn {_name, body} ->
                 body =~ "of an orphan"
               end)
             end)
    end

    test "forgets a session", %{engine: engine, store: store} do
      session = open(engine, sid: "logout")
      {:ok, 1, []} = stash(session, [{"k", 1}])
      assert flush(session) == :ok
      assert forget(engine, "logout") == :ok
      assert recover(open(engine, sid: "logout", tab: "other")) == :not_found
      refute Enum.any?(Native.test_store_dump(store), fn {_name, body} -> body =~ ~s("k") end)
    end

    test "that cannot start says what is wrong, and shows no secret" do
      {:ok, store} = Native.test_store("never started")

      assert {:error, {:refused, message}} =
               Native.engine_start(%{options(store, %{}) | secrets: ["hush hush"]})

      assert message =~ "secret"
      refute message =~ "hush"

      directory =
        Path.join(System.tmp_dir!(), "durable_stash_#{System.unique_integer([:positive])}")

      File.write!(directory, "a file")
      on_exit(fn -> File.rm(directory) end)

      assert {:error, {:refused, message}} =
               Native.engine_start(%{options(store, %{}) | backend: {:disk, directory}})

      assert message =~ directory
    end
  end

  describe "the boundary" do
    test "takes a panic of every entry point for an error, and the engine lives on (fault_46)", %{
      engine: engine,
      store: store
    } do
      assert %{fault_hooks: true} = Native.nif_info()
      session = open(engine)
      {:ok, request} = Native.session_recover(session, id())
      calls = calls(engine, session, store, request)

      entries =
        for {name, _arity} <- Native.__info__(:functions),
            name not in [:fault_hook, :rustler_init],
            do: name

      assert Enum.sort(entries) == Enum.sort(Map.keys(calls))

      for {entry, arguments} <- calls do
        :ok = Native.fault_hook("#{entry}", :panic)
        error = assert_raise ErlangError, fn -> apply(Native, entry, arguments) end
        assert error.original == :nif_panicked, "#{entry}"
      end

      assert {:ok, 1, []} = stash(session, [{"k", 1}])
      assert flush(session) == :ok
    end

    test "answers a request although building its reply panics (fault_46)", %{engine: engine} do
      session = open(engine)

      for _ <- 1..10 do
        :ok = Native.fault_hook("reply", :panic)
        assert {:error, {:engine_down, message}} = recover(session)
        assert message =~ "could not be built"
      end

      assert recover(session) == :not_found
    end

    test "takes wrong arguments for bad arguments", %{engine: engine, store: store} do
      session = open(engine)
      {:ok, request} = Native.session_recover(session, id())
      calls = calls(engine, session, store, request)

      for {entry, arguments} <- calls,
          position <- 0..(length(arguments) - 1)//1,
          {entry, position} not in [json_encode: 0, session_watch: 2],
          wrong <- [{:no}, make_ref(), [1 | 2], 1.5, -1, <<255>>] do
        unless {entry, wrong} == {:json_decode, <<255>>},
          do: assert_bad_argument(entry, List.replace_at(arguments, position, wrong))
      end

      for {entry, [resource | rest]} <- calls,
          is_reference(resource),
          foreign <- [engine, session, store, request] -- [resource] do
        assert_bad_argument(entry, [foreign | rest])
      end

      for pairs <- [[{"k", 1} | 2], [{:k, 1}], [{"k", 1, 2}], [{<<255>>, 1}], %{}, [{"k", 1}, :x]] do
        assert_raise ArgumentError, fn -> Native.session_stash(session, pairs, [], []) end
        assert_raise ArgumentError, fn -> Native.session_stash_dirty(session, [], pairs, []) end
      end

      for {key, wrong} <- [
            sid: 1,
            view: nil,
            vsn: -1,
            vsn: 1.0,
            tab: :tab,
            mount: :other,
            stores_tab: nil,
            minted: "no",
            max_value_bytes: -1,
            secrets: "s"
          ] do
        assert_raise ArgumentError, fn -> Native.session_open(engine, claim([{key, wrong}])) end
      end

      for key <- Map.keys(claim([])) do
        assert_raise ArgumentError, fn ->
          Native.session_open(engine, Map.delete(claim([]), key))
        end
      end

      # The one option that handles bring along.
      for key <- Map.keys(options(store, %{})) -- [:max_value_bytes] do
        assert_raise ArgumentError, fn ->
          Native.engine_start(Map.delete(options(store, %{}), key))
        end
      end

      assert {:ok, 1, []} = stash(session, [{"k", 1}])
    end

    test "keeps no scheduler for long: terms of 10 MB and more (fault_51)", %{engine: engine} do
      session = open(engine, max_value_bytes: 64 * @megabyte)

      terms = [
        text: String.duplicate("0123456789", @megabyte),
        escapes: String.duplicate("\n", 10 * @megabyte),
        not_utf8: String.duplicate("a", 10 * @megabyte) <> <<255>>,
        integers: Enum.to_list(1..1_500_000),
        floats: for(n <- 1..500_000, do: n / 7),
        map: Map.new(1..300_000, &{"key number #{&1}", &1}),
        maps: for(n <- 1..100_000, do: %{id: n, name: "some name", tags: ["a", "b"]}),
        big: List.duplicate(Integer.pow(2, 1_000_000), 50),
        empty: List.duplicate([], 3_000_000)
      ]

      for {name, term} <- terms do
        microseconds =
          for(
            _ <- 1..5,
            do: elapsed(fn -> :large = Native.session_stash(session, [{"k", term}], [], []) end)
          )
          |> Enum.min()

        assert microseconds < 1_000, "#{name} kept a scheduler for #{microseconds} µs"
      end
    end

    test "is not replaced while it is in use: a reload fails and changes nothing (fault_37)", %{
      engine: engine
    } do
      session = open(engine)
      {result, _log} = ExUnit.CaptureLog.with_log(fn -> :code.load_file(Native) end)
      assert result == {:error, :on_load_failure}
      assert {:ok, 1, []} = stash(session, [{"k", 1}])
      assert flush(session) == :ok
    end
  end
end
