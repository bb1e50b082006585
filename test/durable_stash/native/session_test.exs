defmodule DurableStash.Native.SessionTest do
  # Not async: a fault that one test asks for could meet another.
  use DurableStash.NativeCase, async: false

  @megabyte 1_048_576

  # What a caller may have to wait for before something is wrong.
  @patience 5_000

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
end
