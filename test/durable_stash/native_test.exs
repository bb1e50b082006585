defmodule DurableStash.NativeTest do
  # Not async: a fault that one test asks for could meet another.
  use ExUnit.Case, async: false

  alias DurableStash.Native

  @secret String.duplicate("s", 32)
  @megabyte 1_048_576

  # What a caller may have to wait for before something is wrong.
  @patience 5_000

  setup context do
    {:ok, store} = Native.test_store(inspect({context.module, context.test}))
    :ok = Native.test_store_reset(store)
    on_exit(fn -> Native.test_store_reset(store) end)
    {:ok, engine} = Native.engine_start(options(store, context))
    on_exit(fn -> drain(engine) end)
    %{store: store, engine: engine}
  end

  describe "values" do
    test "come back equal, to the bit (fault_62, fault_63)" do
      for power <- [53, 63, 64, 65, 128, 4000, 100_000], sign <- [1, -1], offset <- [-1, 0, 1] do
        same(sign * (Integer.pow(2, power) + offset))
      end

      for float <- [
            0.0,
            -0.0,
            0.1,
            1.0,
            5.0e-324,
            2.2250738585072014e-308,
            1.7976931348623157e308,
            9_007_199_254_740_991.0
          ] do
        {:ok, text} = Native.json_encode(float, 100)
        {:ok, back} = Native.json_decode(text)
        assert <<back::float>> == <<float::float>>
        assert text =~ ~r/^-?\d+\.\d+(e-?\d+)?$/
      end
    end

    test "of bytes come back byte for byte, or are refused by name (fault_61)" do
      for text <- [
            "",
            <<0>>,
            "a\0b",
            "😀é日本",
            "\"\\/\b\f\n\r\t\x7f",
            <<0x2028::utf8>>,
            String.duplicate("é\n", 10_000)
          ] do
        same(text)
      end

      for not_utf8 <- [<<255>>, <<0xED, 0xA0, 0x80>>, <<0xC0, 0x80>>, "abc" <> <<0xE9>>] do
        assert refusal(%{a: [not_utf8]}) ==
                 "value.a[0]: a binary that is not valid UTF-8 is not JSON-safe"
      end

      assert refusal(<<1::7>>) == "value: a bitstring is not JSON-safe"
    end

    test "in a stored body that JSON does not have are corrupt, and no crash (fault_61, fault_63, fault_65)" do
      for body <- [
            "NaN",
            "Infinity",
            "-Infinity",
            "1e999",
            "\"\\ud800\"",
            "\"\\udc00x\"",
            ~s({"a":1,"a":2}),
            "[1,]",
            "",
            "nul",
            <<?", 255, ?">>
          ] do
        assert {:error, {:corrupt, message}} = Native.json_decode(body)
        assert message =~ "JSON"
      end

      assert {:error, {:corrupt, _}} = Native.json_decode(String.duplicate("9", 4_000_000))
    end

    test "are nested up to 128 levels (fault_64)" do
      same(nested(128))
      assert refusal(nested(129)) =~ ~r/^value\[0\].*…: nested more than 128 levels deep$/u

      for depth <- [10_000, 1_000_000],
          do: assert(refusal(nested(depth)) =~ "nested more than 128")

      for depth <- [200, 10_000, 1_000_000] do
        body = String.duplicate("[", depth) <> String.duplicate("]", depth)
        assert {:error, {:corrupt, _}} = Native.json_decode(body)
      end
    end

    test "whose keys are one and the same in JSON are refused (fault_65)" do
      assert refusal(%{:a => 1, "a" => 2}) =~
               ~r/^value: the keys (:a and "a"|"a" and :a) are one and the same in JSON$/

      assert refusal(%{1 => 1, "1" => 2}) =~ "one and the same"
      assert refusal(%{"1" => 1, "1": 2}) =~ "one and the same"
      assert refusal(%{nil => 1, "nil" => 2}) =~ "one and the same"
      large = Map.new(1..10_000, &{&1, &1})
      assert refusal(Map.put(large, "77", 1)) =~ ~r/the keys (77 and "77"|"77" and 77)/
      same(Map.new(1..10_000, &{"k#{&1}", &1}))
    end

    test "that JSON has no place for are refused by name, with the path to the culprit (fault_66)" do
      [port | _] = Port.list()

      for {term, name} <- [
            {{1, 2}, "a tuple"},
            {{}, "a tuple"},
            {self(), "a pid"},
            {port, "a port"},
            {make_ref(), "a reference"},
            {fn -> 1 end, "a function"},
            {&String.length/1, "a function"},
            {[1 | 2], "an improper list"},
            {~U[2020-01-01 00:00:00Z], "a DateTime"},
            {~D[2020-01-01], "a Date"},
            {MapSet.new([1]), "a MapSet"},
            {1..2, "a Range"},
            {~r/a/, "a Regex"},
            {%ArgumentError{message: "m"}, "an ArgumentError"},
            {%{__struct__: Some.Thing.Gone, a: 1}, "a Some.Thing.Gone"}
          ] do
        assert refusal(term) == "value: #{name} is not JSON-safe"

        assert refusal(%{items: [1, 2, 3, %{"at" => term}]}) ==
                 "value.items[3].at: #{name} is not JSON-safe"

        assert refusal(%{1 => %{"a b" => term}}) == "value[1][\"a b\"]: #{name} is not JSON-safe"
      end

      assert refusal(a: 1) == "value[0]: a tuple is not JSON-safe"

      assert refusal(%{1.5 => 1}) ==
               "value: a float as a map's key is not JSON-safe; atoms, binaries and integers are"

      assert refusal(%{{1} => 1}) =~ "a tuple as a map's key"
    end

    # OTP 29 has native records, and asking the VM for the type of one in the usual way ends the VM.
    if Code.ensure_loaded?(:records) do
      test "of a type that the library does not know are refused (fault_66)" do
        record = apply(:records, :create, [:some_module, :point, [x: 1], %{is_exported: true}])

        for {term, path} <- [{record, "value"}, {[%{a: record}], "value[0].a"}] do
          assert refusal(term) == "#{path}: a term of an unknown type is not JSON-safe"
        end

        assert refusal(%{record => 1}) =~ "a term of an unknown type as a map's key"
      end
    end

    test "make no atoms when they are read (fault_67)" do
      body = "{" <> Enum.map_join(1..100_000, ",", &~s("never_an_atom_#{&1}":1)) <> "}"
      before = :erlang.system_info(:atom_count)
      {:ok, map} = Native.json_decode(body)
      assert map_size(map) == 100_000
      assert :erlang.system_info(:atom_count) - before < 100
    end

    test "of equal terms have equal text" do
      for size <- [5, 32, 33, 5_000] do
        pairs = for n <- 1..size, do: {"k#{n}", n}
        texts = for _ <- 1..5, do: Native.json_encode(Map.new(Enum.shuffle(pairs)), @megabyte)
        assert length(Enum.uniq(texts)) == 1
      end
    end
  end

  describe "a stash" do
    test "comes back from the store, as another handle and another engine read it",
         %{engine: engine, store: store} = context do
      session = open(engine)
      big = Integer.pow(2, 4000)

      assert {:ok, 1, []} =
               Native.session_stash(session, [{"a", %{n: big}}, {"b", nil}], [{"c", [1.5]}], [])

      assert flush(session) == :ok
      assert {1, 1, 0, :saved, nil, false, false} = Native.session_status(session)

      expected_session = [{"a", %{"n" => big}}, {"b", nil}]
      assert {:ok, found} = recover(open(engine, mount: :rejoin))
      assert %{vsn: 1, stale: false, session: found_session, tab: [{"c", [1.5]}]} = found
      assert Enum.sort(found_session) == expected_session

      drain(engine)
      {:ok, successor} = Native.engine_start(options(store, context))
      assert {:ok, %{session: again}} = recover(open(successor, mount: :rejoin))
      assert Enum.sort(again) == expected_session
      drain(successor)
    end

    test "of nothing stored is not found", %{engine: engine} do
      assert recover(open(engine)) == :not_found
      assert recover(open(engine, mount: :dead, tab: "other")) == :not_found
    end

    test "skips what cannot be stored and says why; the rest is one write (fault_52)", %{
      engine: engine
    } do
      session = open(engine, max_value_bytes: 1_000)
      kilobyte = String.duplicate("x", 998)

      assert {:ok, 1, refused} =
               Native.session_stash(
                 session,
                 [{"fits", kilobyte}, {"too_long", kilobyte <> "x"}, {"bad", %{at: self()}}],
                 [{"deep", nested(129)}],
                 []
               )

      assert [
               {"too_long", :too_large, too_large},
               {"bad", :invalid_value, bad},
               {"deep", :invalid_value, _deep}
             ] = refused

      assert too_large ==
               "too_long: larger than the 1000 bytes of JSON that max_value_bytes allows"

      assert bad == "bad.at: a pid is not JSON-safe"
      assert flush(session) == :ok
      assert {:ok, %{session: [{"fits", ^kilobyte}], tab: []}} = recover(session)
    end

    test "sets a default where nothing stands, in the same write", %{engine: engine} do
      assert {:ok, 1, []} = Native.session_stash(open(engine), [{"a", 1}], [], [{"s", 1}])
      session = open(engine, tab: "other")
      defaults = [{"a", 0, :default}, {"b", 0, :default}, {"c", 2}]
      assert {:ok, 1, refused} = Native.session_stash(session, defaults, [{"t", {}, :default}], [{"s", 0, :default}])
      assert [{"t", :invalid_value, _message}] = refused
      assert flush(session) == :ok
      assert {:ok, %{session: pairs, tab: [], shared: [{"s", 1}]}} = recover(session)
      assert Enum.sort(pairs) == [{"a", 1}, {"b", 0}, {"c", 2}]
    end

    test "of nothing is no write", %{engine: engine} do
      session = open(engine)
      assert Native.session_stash(session, [], [], []) == {:ok, 0, []}
      assert {:ok, 0, [{"a", :invalid_value, _}]} = Native.session_stash(session, [{"a", {}}], [], [])
      assert Native.session_flush(session, id()) == :saved
      assert {0, 0, 0, :saved, nil, false, false} = Native.session_status(session)
    end

    test "that is large is for a dirty scheduler, and leaves nothing behind on a normal one", %{
      engine: engine
    } do
      session = open(engine)
      large = Enum.to_list(1..50_000)
      assert Native.session_stash(session, [{"small", 1}, {"large", large}], [], []) == :large
      assert {0, 0, 0, :saved, nil, false, false} = Native.session_status(session)

      assert {:ok, 1, []} =
               Native.session_stash_dirty(session, [{"small", 1}, {"large", large}], [], [])

      assert flush(session) == :ok
      assert {:ok, %{session: found}} = recover(session)
      assert Enum.sort(found) == [{"large", large}, {"small", 1}]
    end

    test "of 1 KB, 100 KB and 1 MB is stored, past the limit it is refused (fault_52)", %{
      engine: engine
    } do
      session = open(engine)

      for {bytes, n} <- [{1_000, 1}, {100_000, 2}, {@megabyte - 2, 3}] do
        value = String.duplicate("v", bytes)
        assert {:ok, ^n, []} = stash(session, [{"k", value}])
        assert flush(session) == :ok
        assert {:ok, %{session: [{"k", ^value}]}} = recover(session)
      end

      assert {:ok, 0, [{"k", :too_large, message}]} =
               stash(session, [{"k", String.duplicate("v", @megabyte - 1)}])

      assert message =~ "1048576"
    end

    test "is emptied by a reset", %{engine: engine} do
      session = open(engine)
      {:ok, 1, []} = stash(session, [{"k", 1}])
      assert {:ok, 2} = Native.session_reset(session)
      assert flush(session) == :ok

      # The slice stays, or a lower version's would be found in its place.
      assert recover(session) == {:ok, %{vsn: 1, session: [], tab_vsn: 1, tab: [], shared: [], stale: false}}
    end

    test "of a superseded handle is refused", %{engine: engine} do
      old = open(engine)
      {:ok, 1, []} = stash(old, [{"k", 1}])
      assert flush(old) == :ok
      new = open(engine, mount: :rejoin)
      {:ok, 1, []} = stash(new, [{"k", 2}])
      assert flush(new) == :ok
      assert {:error, {:superseded, _}} = stash(old, [{"k", 3}])
      assert {_, _, _, _, _, true, _} = Native.session_status(old)
    end
  end

  describe "a watch" do
    test "tells of every save, in order, with its tag", %{engine: engine} do
      session = open(engine)
      :ok = Native.session_watch(session, self(), {:any, "tag"})

      for n <- 1..20 do
        {:ok, ^n, []} = stash(session, [{"k", n}])
        if rem(n, 5) == 0, do: flush(session)
      end

      assert flush(session) == :ok
      saved = saved_ops({:any, "tag"})
      assert List.last(saved) == 20
      assert saved == Enum.sort(saved)

      :ok = Native.session_watch(session, nil, :none)
      {:ok, 21, []} = stash(session, [{"k", 21}])
      flush(session)
      refute_receive {:durable_stash_status, _, _}, 50
    end
  end

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

  describe "requests" do
    test "that are given up leave nothing in the mailbox, a hundred thousand times (fault_49)", %{
      engine: engine,
      store: store
    } do
      Native.test_store_latency(store, 1)
      session = open(engine)

      for n <- 1..100_000 do
        {:ok, request} = Native.session_recover(session, n)

        unless Native.request_cancel(request),
          do: assert_receive({:durable_stash, ^n, _reply}, @patience)
      end

      Native.test_store_latency(store, 0)
      assert recover(session) == :not_found
      Process.sleep(100)
      assert Process.info(self(), :message_queue_len) == {:message_queue_len, 0}
    end

    test "that are given up while they are answered either come or do not, as said", %{
      engine: engine
    } do
      session = open(engine)

      outcomes =
        for n <- 1..5_000 do
          {:ok, request} = Native.session_recover(session, n)
          spin(:rand.uniform(200))
          is_cancelled = Native.request_cancel(request)

          if is_cancelled,
            do: refute_received({:durable_stash, ^n, _}),
            else: assert_receive({:durable_stash, ^n, _}, @patience)

          is_cancelled
        end

      assert true in outcomes
      Process.sleep(50)
      refute_received {:durable_stash, _, _}
    end

    test "of a process that is gone do no harm; its write is saved (fault_48)", %{
      engine: engine,
      store: store
    } do
      Native.test_store_latency(store, 20)

      {pid, monitor} =
        spawn_monitor(fn ->
          session = open(engine)
          {:ok, 1, []} = stash(session, [{"k", "of the dead"}])
          {:ok, _request} = Native.session_flush(session, 1)
          {:ok, _request} = Native.session_recover(session, 2)
        end)

      assert_receive {:DOWN, ^monitor, :process, ^pid, :normal}, @patience
      assert eventually(fn -> match?(%{saved_ops: 1}, Native.engine_stats(engine)) end)
      assert {:ok, %{session: [{"k", "of the dead"}]}} = recover(open(engine, mount: :rejoin))
    end

    test "are answered although the engine goes down around them", %{engine: engine, store: store} do
      Native.test_store_script(store, {:stall_puts, 1_000})
      Native.test_store_script(store, {:stall_gets, 1_000})
      session = open(engine)
      {:ok, 1, []} = stash(session, [{"k", 1}])
      flush = id()
      {:ok, _request} = Native.session_flush(session, flush)
      drain = id()
      {:ok, _request} = Native.engine_drain(engine, 50, drain)

      assert_receive {:durable_stash, ^drain, {:ok, %{unsaved_ops: 1, unsaved_sessions: 1}}},
                     @patience

      assert_receive {:durable_stash, ^flush, {:error, {kind, message}}}, @patience
      assert kind in [:engine_down, :unavailable]
      assert is_binary(message)
    end

    test "are answered by the reply threads only: a scheduler never sends (fault_50)", %{
      engine: engine
    } do
      test = self()

      asker =
        spawn_link(fn ->
          receive do: (:go -> :ok)
          session = open(engine)
          :ok = Native.session_watch(session, self(), 1)
          {:ok, 1, []} = stash(session, [{"k", 1}])
          flush(session)
          {:ok, _found} = recover(session)
          send(test, :done)
        end)

      # A message that a NIF sends on a scheduler is a message that its caller sends.
      :erlang.trace(asker, true, [:send])
      send(asker, :go)
      assert_receive {:trace, ^asker, :send, :done, ^test}, @patience
      refute_received {:trace, ^asker, :send, {:durable_stash, _, _}, _to}
      refute_received {:trace, ^asker, :send, {:durable_stash_status, _, _}, _to}
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

  # -- Engines and handles ------------------------------------------------------------------------------------------------

  defp options(store, context) do
    Map.merge(
      %{
        backend: {:memory, store},
        prefix: "durable_stash/",
        secrets: [@secret],
        ttl_ms: 86_400_000,
        flush_after_ms: 0,
        recover_timeout_ms: 3_000,
        fresh_for_ms: 0,
        single_writer: false,
        serve_stale: true,
        max_unsaved_age_ms: 900_000,
        max_value_bytes: @megabyte,
        max_document_bytes: 4 * @megabyte,
        components_per_module: 100,
        idle_after_ms: 60_000,
        requests_in_flight: 128,
        max_unsaved_bytes: 64 * @megabyte,
        sweep_every_ms: 0,
        attempt_timeout_ms: 5_000,
        connect_timeout_ms: 2_000,
        backoff_base_ms: 1,
        backoff_cap_ms: 100,
        worker_threads: 2
      },
      Map.get(context, :options, %{})
    )
  end

  defp claim(options) do
    Map.merge(
      %{
        sid: "sid",
        secrets: nil,
        view: "Elixir.Some.View",
        vsn: 1,
        tab: "tab",
        mount: :fresh,
        epoch: nil,
        stores_tab: true,
        minted: false,
        max_value_bytes: @megabyte
      },
      Map.new(options)
    )
  end

  defp open(engine, options \\ []) do
    {:ok, session} = Native.session_open(engine, claim(options))
    session
  end

  defp stash(session, pairs) do
    with :large <- Native.session_stash(session, pairs, [], []),
         do: Native.session_stash_dirty(session, pairs, [], [])
  end

  defp flush(session) do
    id = id()

    case Native.session_flush(session, id) do
      {:ok, _request} -> reply(id)
      :saved -> :ok
    end
  end

  defp recover(session) do
    id = id()
    {:ok, _request} = Native.session_recover(session, id)
    reply(id)
  end

  defp forget(engine, sid) do
    id = id()
    {:ok, _request} = Native.engine_forget(engine, sid, nil, id)
    reply(id)
  end

  defp drain(engine) do
    id = id()
    {:ok, _request} = Native.engine_drain(engine, 100, id)
    reply(id)
  end

  defp reply(id) do
    receive do
      {:durable_stash, ^id, reply} -> reply
    after
      @patience -> flunk("no reply")
    end
  end

  defp id, do: System.unique_integer([:positive])

  defp messages_until(id) do
    receive do
      {:durable_stash, ^id, _reply} = last -> [last]
      other -> [other | messages_until(id)]
    after
      @patience -> flunk("no reply")
    end
  end

  defp saved_ops(tag) do
    receive do
      {:durable_stash_status, ^tag, {:saved, op}} -> [op | saved_ops(tag)]
    after
      100 -> []
    end
  end

  # Arguments that every entry point takes.
  defp calls(engine, session, store, request) do
    %{
      engine_start: [options(store, %{})],
      engine_stats: [engine],
      engine_health: [engine],
      engine_observe: [engine, nil],
      engine_drain: [engine, 1, id()],
      engine_forget: [engine, "sid", nil, id()],
      session_open: [engine, claim([])],
      session_stash: [session, [], [], []],
      session_stash_dirty: [session, [], [], []],
      session_turn: [session],
      session_reset: [session],
      session_recover: [session, id()],
      session_flush: [session, id()],
      session_status: [session],
      session_epoch: [session],
      session_watch: [session, nil, 1],
      request_cancel: [request],
      json_encode: [1, 1],
      json_decode: ["1"],
      test_store: ["another"],
      test_store_dump: [store],
      test_store_reset: [store],
      test_store_latency: [store, 0],
      test_store_counts: [store],
      test_store_script: [store, :release],
      nif_info: []
    }
  end

  defp assert_bad_argument(entry, arguments) do
    result = apply(Native, entry, arguments)
    flunk("#{entry} took #{inspect(arguments)} and returned #{inspect(result)}")
  rescue
    ArgumentError -> :ok
  end

  # -- Values -------------------------------------------------------------------------------------------------------------

  defp same(term) do
    {:ok, text} = Native.json_encode(term, 64 * @megabyte)
    assert Native.json_decode(text) == {:ok, term}
    assert JSON.decode!(text) == term
  end

  defp refusal(term) do
    assert {:error, {:invalid_value, message}} = Native.json_encode(term, 64 * @megabyte)
    message
  end

  defp nested(depth), do: Enum.reduce(2..depth//1, [], fn _level, inner -> [inner] end)

  # -- Time ---------------------------------------------------------------------------------------------------------------

  defp elapsed(function) do
    {microseconds, _result} = :timer.tc(function)
    microseconds
  end

  defp spin(0), do: :ok
  defp spin(n), do: spin(n - 1)

  defp eventually(condition, attempts \\ 250) do
    cond do
      condition.() ->
        true

      attempts > 0 ->
        Process.sleep(20)
        eventually(condition, attempts - 1)

      true ->
        false
    end
  end
end
