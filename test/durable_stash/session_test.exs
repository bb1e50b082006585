defmodule DurableStash.SessionTest do
  use DurableStash.Case, async: true

  alias DurableStash.Session

  defp open(engine, options \\ []) do
    claim = %{
      sid: "a session of the tests",
      secrets: nil,
      view: "Elixir.DurableStash.SomeLive",
      vsn: 1,
      tab: "tab",
      mount: :fresh,
      epoch: nil,
      stores_tab: true,
      minted: false
    }

    {:ok, session} = Session.open(engine, Map.merge(claim, Map.new(options)))
    session
  end

  test "a handle's writes are numbered, and counted when they are saved", %{engine: engine} do
    session = open(engine)

    assert {:ok, %{accepted: 0, saved: 0, failures: 0, superseded?: false, down?: false}} =
             Session.status(session)

    assert {:ok, 1, []} = Session.stash(session, [{"a", 1}], [{"b", 2}])
    assert {:ok, 2, []} = Session.stash(session, [{"a", 2}], [])
    assert :ok = Session.flush(session, 5_000)
    assert {:ok, %{accepted: 2, saved: 2, failures: 0}} = Session.status(session)

    assert {:ok, %{vsn: 1, session: [{"a", 2}], tab: [{"b", 2}], stale: false}} =
             Session.recover(session)
  end

  test "an epoch is the millisecond of its mount, and stands above every one that is told by a clock alone", %{
    engine: engine
  } do
    before = System.os_time(:millisecond)
    session = open(engine)
    assert eventually(fn -> Session.epoch(session) != nil end)
    since = System.os_time(:millisecond)
    assert Session.epoch(session) in Session.epoch_at(before)..(Session.epoch_at(since + 1) - 1)
  end

  test "a mount that no engine heard of gives way to one that came after it, and to none from before", context do
    %{engine: engine} = context
    first = open(engine)
    assert eventually(fn -> Session.epoch(first) != nil end)
    unheard = Session.epoch_at(System.os_time(:millisecond) + 1)
    again = open(engine, mount: :again, epoch: unheard)
    assert eventually(fn -> match?({:ok, %{superseded?: true}}, Session.status(first)) end)
    assert {:ok, %{superseded?: false}} = Session.status(again)

    Process.sleep(3)
    later = open(engine, mount: :rejoin)
    zombie = open(engine, mount: :again, epoch: unheard)
    assert eventually(fn -> match?({:ok, %{superseded?: true}}, Session.status(zombie)) end)
    assert {:ok, %{superseded?: false}} = Session.status(later)
  end

  test "reads see what was accepted and is not stored yet", %{engine: engine, backend: backend} do
    session = open(engine)
    TestBackend.stall_puts(backend, 1)
    {:ok, 1, []} = Session.stash(session, [{"a", 1}], [])
    assert {:ok, %{session: [{"a", 1}]}} = Session.recover(session)
    TestBackend.release(backend)
  end

  test "an engine that is not there is an error" do
    assert {:error, %Error{kind: :engine_down, message: message}} = Session.open(:no_engine, %{})
    assert message =~ "no engine named :no_engine"
  end

  test "fault_48: the reply to a LiveView that died is dropped, and its write completes",
       context do
    %{engine: engine, backend: backend} = context
    test = self()
    TestBackend.stall_puts(backend, 1)

    {pid, monitor} =
      spawn_monitor(fn ->
        session = open(engine)
        {:ok, 1, []} = Session.stash(session, [{"a", 1}], [])
        send(test, :accepted)
        Session.flush(session, :infinity)
      end)

    assert_receive :accepted
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^monitor, :process, ^pid, :killed}
    TestBackend.release(backend)

    assert {:ok, %{session: [{"a", 1}]}} = Session.recover(open(engine, mount: :rejoin))
    assert {:ok, %{unsaved_ops: 0}} = Engine.drain(engine)

    assert %{views: %{"Elixir.DurableStash.SomeLive" => %{"1" => %{"data" => %{"a" => 1}}}}} =
             document(backend)
  end

  test "fault_49: no reply arrives after its caller gave up, however close it was", %{
    engine: engine
  } do
    session = open(engine)

    for n <- 1..20_000 do
      {:ok, _op, []} = Session.stash(session, [{"a", n}], [])

      assert Session.flush(session, 0) in [
               :ok,
               {:error, %Error{kind: :timeout, message: "There was no answer within 0 ms"}}
             ]
    end

    assert :ok = Session.flush(session, 5_000)
    assert Process.info(self(), :message_queue_len) == {:message_queue_len, 0}
  end

  test "fault_54: reads that arrive while one is under way share it", %{
    engine: engine,
    backend: backend
  } do
    session = open(engine)
    {:ok, 1, []} = Session.stash(session, [{"a", 1}], [])
    :ok = Session.flush(session, 5_000)
    %{gets: before} = TestBackend.counts(backend)

    TestBackend.stall_gets(backend, 1)
    readers = for _reader <- 1..100, do: Task.async(fn -> Session.recover(session) end)
    asks = fn reader -> Process.info(reader.pid, :status) == {:status, :waiting} end
    assert eventually(fn -> Enum.all?(readers, asks) end)
    # What a session is told it takes in order: once it writes this, it has heard of every reader.
    {:ok, 2, []} = Session.stash(session, [{"a", 1}], [])
    assert eventually(fn -> TestBackend.counts(backend).puts == 2 end)
    assert TestBackend.counts(backend).gets - before == 1
    TestBackend.release(backend)

    for reader <- readers do
      assert {:ok, %{session: [{"a", 1}]}} = Task.await(reader)
    end

    # One that was under way, one for all who came meanwhile, and one if that write moved the object under the first.
    assert (TestBackend.counts(backend).gets - before) in 2..3
  end
end
