defmodule DurableStash.EngineTest do
  # Panics are asked for by the name of an entry point, whoever calls it next.
  use DurableStash.Case, async: false

  import ExUnit.CaptureLog

  alias DurableStash.Boundary
  alias DurableStash.Config
  alias DurableStash.Native
  alias DurableStash.OsNode
  alias DurableStash.RunningEngine

  @keys [:count, draft: :reconnect]

  defp mount(engine, page \\ Page.open(Page.session())) do
    Page.mount(page, view(engine, [stored_keys: @keys], assigns: [count: 0, draft: ""]))
  end

  describe "start" do
    @tag engine: false
    test "fault_73: a bad option raises, and nothing is started", %{engine: name} do
      assert_raise ArgumentError, ~r/:ttl takes/, fn ->
        Engine.start_link(name: name, secret: secret(), ttl: 0)
      end

      assert_raise ArgumentError, ~r/:secret is missing/, fn -> Engine.child_spec(name: name) end
      assert Process.whereis(name) == nil
      assert {:error, %Error{kind: :engine_down}} = Engine.fetch(name)
    end

    @tag engine: false
    @tag :tmp_dir
    test "a directory that cannot be made is an error that names it", %{
      engine: name,
      tmp_dir: tmp_dir
    } do
      file = Path.join(tmp_dir, "file")
      File.write!(file, "")
      Process.flag(:trap_exit, true)
      options = [name: name, secret: secret(), backend: {:disk, path: Path.join(file, "below")}]

      case Engine.start_link(options) do
        {:error, %Error{message: message}} ->
          assert message =~ file

        {:ok, _pid} ->
          assert eventually(fn -> match?({:ok, {:degraded, _reason}}, Engine.health(name)) end)
      end
    end

    test "an engine has health and stats, and none without it", %{engine: engine} do
      assert {:ok, {:ready, nil}} = Engine.health(engine)
      assert {:ok, %{commits: 0, puts: 0, gets: 0, unsaved_bytes: 0}} = Engine.stats(engine)
      assert {:error, %Error{kind: :engine_down}} = Engine.health(:no_engine)
      assert {:error, %Error{kind: :engine_down}} = Engine.stats(:no_engine)
      assert {:error, %Error{kind: :engine_down}} = Engine.drain(:no_engine)
    end

    test "its child specification shows no secret", %{engine: engine} do
      spec = Engine.child_spec(name: engine, secret: secret(), backend: {TestBackend, name: "hunter2"})
      shown = inspect(spec, limit: :infinity, printable_limit: :infinity) <> to_string(:io_lib.format(~c"~p", [spec]))
      refute shown =~ "a secret of the tests"
      refute shown =~ "hunter2"
      assert %{id: ^engine, shutdown: 25_000} = spec
    end

    test "fault_73: a timeout that cannot be waited is named, and the engine lives on", %{engine: engine} do
      for bad <- [:infinity, -1, 1.5, nil, 4_294_967_295] do
        assert_raise ArgumentError, ~r/drain\/2: the timeout takes/, fn -> Engine.drain(engine, bad) end
      end

      assert {:ok, {:ready, nil}} = Engine.health(engine)
    end

    test "an argument that the library does not take is an error of the boundary" do
      assert {:error, %Error{kind: :engine_down, message: message}} =
               Boundary.call(fn -> Native.engine_stats(:no_engine) end)

      assert message =~ "an argument is not of the type"
    end

    test "fault_19: a change of health is logged once, with its reason, and so is the way back", %{engine: engine} do
      told = fn state, reason ->
        send(
          engine,
          {:durable_stash_events,
           [%{event: :health, measurements: %{count: 1}, metadata: %{state: state, reason: reason}}]}
        )

        :sys.get_state(engine)
      end

      log =
        capture_log(fn ->
          for _again <- 1..3, do: told.(:degraded, "no route to the bucket")
          told.(:refusing, "the bucket ignores If-Match")
          told.(:ready, nil)
          told.(:ready, nil)
        end)

      assert [_, _] = String.split(log, "cannot reach its store, and keeps trying: no route to the bucket")
      assert [_, _] = String.split(log, "refuses writes: the bucket ignores If-Match")
      assert [_, _] = String.split(log, "is ready again")
    end

    test "its state shows no secret", %{engine: engine} do
      refute inspect(:sys.get_status(engine), limit: :infinity, printable_limit: :infinity) =~
               "a secret of the tests"
    end

    @tag engine: false
    test "fault_45: a hundred starts and stops leave no thread, and no name", %{engine: name} do
      for _warm_up <- 1..3, do: start_and_stop(name)
      threads = threads()
      for _round <- 1..100, do: start_and_stop(name)
      assert_in_delta threads(), threads, 5
      assert {:error, %Error{kind: :engine_down}} = Engine.fetch(name)
    end

    test "fault_56: a thousand visits leave no atom, no process, no port and no row of a table", %{engine: engine} do
      for n <- 1..50, do: visit(engine, n)
      before = held()
      for n <- 1..1_000, do: visit(engine, n)
      # What one visit in a hundred leaves would be seen; what the VM does beside is less.
      level? = fn -> Enum.all?(held(), fn {what, count} -> count < before[what] + 10 end) end
      assert eventually(level?), inspect({before, held()})
    end
  end

  # Another browser session, and other values, each time.
  defp visit(engine, n) do
    {lv, page} = mount(engine)
    LiveViewProcess.save(lv, count: n)
    LiveViewProcess.close(lv)
    {lv, _page} = mount(engine, page)
    %{count: ^n} = LiveViewProcess.assigns(lv)
    LiveViewProcess.close(lv)
  end

  defp held do
    rows = for table <- :ets.all(), size = :ets.info(table, :size), is_integer(size), do: size

    %{
      atoms: :erlang.system_info(:atom_count),
      processes: length(Process.list()),
      ports: length(Port.list()),
      tables: length(rows),
      rows: Enum.sum(rows)
    }
  end

  defp start_and_stop(name) do
    start_engine(name)
    {lv, _page} = mount(name)
    LiveViewProcess.save(lv, count: 1)
    LiveViewProcess.close(lv)
    :ok = stop_supervised(name)
  end

  defp threads, do: length(File.ls!("/proc/self/task"))

  describe "drain" do
    test "fault_35: saves what many sessions accepted, within its budget", %{
      engine: engine,
      backend: backend
    } do
      mounted = for n <- 1..300, do: {n, mount(engine)}
      TestBackend.latency(backend, 50)

      for {n, {lv, _page}} <- mounted do
        LiveViewProcess.stash(lv, count: n)
        LiveViewProcess.close(lv)
      end

      assert {:ok, %{unsaved_sessions: 0, unsaved_ops: 0}} = Engine.drain(engine)
      assert map_size(TestBackend.dump(backend)) == 300
      TestBackend.latency(backend, 0)
      restart_engine(engine)

      for {n, {_lv, page}} <- mounted do
        {lv, _page} = mount(engine, page)
        assert %{count: ^n} = LiveViewProcess.assigns(lv)
      end
    end

    test "fault_36: gives up at the deadline when the store is down, and says what was not saved",
         context do
      %{engine: engine, backend: backend} = context
      observe(engine, [[:durable_stash, :drain, :stop]])
      TestBackend.stall_puts(backend, 1_000)

      for n <- 1..10 do
        {lv, _page} = mount(engine)
        LiveViewProcess.stash(lv, count: n)
      end

      log =
        capture_log(fn ->
          assert {:ok, %{unsaved_sessions: 10, unsaved_ops: 10}} = Engine.drain(engine, 50)
        end)

      assert log =~ "10 writes of 10 sessions not saved"

      assert_received {:telemetry, [:durable_stash, :drain, :stop], %{unsaved_sessions: 10, duration: _},
                       %{result: :drained}}
    end

    test "fault_35: a stash during or after it is refused, and known to be unsaved", %{
      engine: engine
    } do
      {lv, _page} = mount(engine)
      LiveViewProcess.save(lv, count: 1)
      assert {:ok, _report} = Engine.drain(engine)

      capture_log(fn ->
        LiveViewProcess.stash(lv, count: 2)
        assert LiveViewProcess.status(lv) == :unsaved
        assert {:error, %Error{kind: :engine_down}} = LiveViewProcess.flush(lv)
        LiveViewProcess.reset(lv)
      end)
    end

    test "a second one reports what the first did", %{engine: engine} do
      assert {:ok, report} = Engine.drain(engine)
      assert {:ok, ^report} = Engine.drain(engine)
    end

    test "stopping the process drains", %{engine: engine, backend: backend} do
      TestBackend.latency(backend, 20)
      {lv, _page} = mount(engine)
      LiveViewProcess.stash(lv, count: 1)
      :ok = stop_supervised(engine)

      assert %{views: %{"Elixir.DurableStash.SomeLive" => %{"1" => %{"data" => %{"count" => 1}}}}} =
               document(backend)
    end
  end

  describe "an engine whose process is killed" do
    test "goes on under its successor: nothing is lost or sent again, and its LiveViews notice nothing", context do
      %{engine: engine, backend: backend} = context
      {idle, idle_page} = mount(engine)
      {busy, busy_page} = mount(engine)
      TestBackend.stall_puts(backend, 2)
      LiveViewProcess.stash(idle, count: 1)
      LiveViewProcess.stash(busy, count: 2, draft: "Dear")
      {:ok, running} = Engine.fetch(engine)
      kill_and_await(engine)

      assert Engine.fetch(engine) == {:ok, running}
      for lv <- [idle, busy], do: assert(LiveViewProcess.status(lv) in [:pending, :saving])
      LiveViewProcess.stash(busy, count: 3)
      TestBackend.release(backend)
      for lv <- [idle, busy], do: assert(LiveViewProcess.flush(lv) == :ok)
      for lv <- [idle, busy], do: assert(LiveViewProcess.status(lv) == :saved)
      assert {:ok, %{commits: 3, conflicts: 0}} = Engine.stats(engine)
      # It answers once it has begun.
      :sys.get_status(engine)
      assert Engine.fetch(engine) == {:ok, running}

      restart_engine(engine)
      {lv, _page} = mount(engine, idle_page)
      assert %{count: 1, draft: ""} = LiveViewProcess.assigns(lv)
      {lv, _page} = mount(engine, busy_page)
      assert %{count: 3, draft: "Dear"} = LiveViewProcess.assigns(lv)
    end

    test "again and again, under load on a slow store, saves what was stashed last", context do
      %{engine: engine, backend: backend} = context
      TestBackend.latency(backend, 5)
      mounted = for _page <- 1..10, do: mount(engine)

      for n <- 1..20 do
        for {lv, _page} <- mounted, do: LiveViewProcess.stash(lv, count: n, draft: "#{n}")
        kill_and_await(engine)
        for {lv, _page} <- mounted, do: LiveViewProcess.stash(lv, count: n * 100)
      end

      for {lv, _page} <- mounted, do: assert(LiveViewProcess.flush(lv) == :ok)
      assert {:ok, %{conflicts: 0, failed_ops: 0, lost_ops: 0}} = Engine.stats(engine)
      restart_engine(engine)

      for {_lv, page} <- mounted do
        {lv, _page} = mount(engine, page)
        assert %{count: 2_000, draft: "20"} = LiveViewProcess.assigns(lv)
      end
    end

    test "is observed and drained by its successor", %{engine: engine} do
      {lv, _page} = mount(engine)
      kill_and_await(engine)
      # It observes from its start on, which is over when it answers.
      :sys.get_status(engine)
      observe(engine, [[:durable_stash, :commit], [:durable_stash, :drain, :stop]])
      LiveViewProcess.save(lv, count: 1)
      assert_receive {:telemetry, [:durable_stash, :commit], %{ops: 1}, _metadata}
      LiveViewProcess.stash(lv, count: 2)
      :ok = stop_supervised(engine)
      assert_received {:telemetry, [:durable_stash, :drain, :stop], %{unsaved_ops: 0}, %{result: :drained}}
      assert {:error, %Error{kind: :engine_down}} = Engine.fetch(engine)
    end

    test "is not taken over once it was told to drain", %{engine: engine} do
      {lv, _page} = mount(engine)
      LiveViewProcess.save(lv, count: 1)
      {:ok, before} = Engine.fetch(engine)
      assert {:ok, _report} = Engine.drain(engine)
      kill_and_await(engine)
      assert {:ok, %{generation: generation}} = replaced(engine, before)
      assert generation != before.generation
      assert LiveViewProcess.save(lv, count: 2) == :ok
    end

    test "while it drains is waited for", %{engine: engine, backend: backend} do
      {lv, page} = mount(engine)
      {:ok, before} = Engine.fetch(engine)
      TestBackend.stall_puts(backend, 1)
      LiveViewProcess.stash(lv, count: 1, draft: "Dear")
      drain = Task.async(fn -> Engine.drain(engine) end)
      assert eventually(fn -> not RunningEngine.serves?(before, config(engine)) end)
      kill_and_await(engine)
      assert {:error, %Error{kind: :engine_down}} = Task.await(drain)
      assert {:ok, ^before} = Engine.fetch(engine)
      TestBackend.release(backend)
      assert {:ok, _other} = replaced(engine, before)

      assert LiveViewProcess.save(lv, count: 2) == :ok
      {lv, _page} = mount(engine, page)
      assert %{count: 2, draft: "Dear"} = LiveViewProcess.assigns(lv)
    end

    @tag engine: false
    test "and is started with other options has saved what it accepted before it accepts more", context do
      %{engine: engine, backend: backend} = context
      pid = start_temporary(engine)
      {lv, page} = mount(engine)
      {:ok, before} = Engine.fetch(engine)
      TestBackend.stall_puts(backend, 1)
      LiveViewProcess.stash(lv, count: 1, draft: "Dear")
      kill(pid)

      # Whoever starts it is not held up.
      start_engine(engine, ttl: 1_000_000)
      assert {:ok, ^before} = Engine.fetch(engine)
      assert eventually(fn -> not RunningEngine.serves?(before, config(engine)) end)

      capture_log(fn ->
        {new, _page} = mount(engine)
        LiveViewProcess.stash(new, count: 1)
        assert LiveViewProcess.status(new) == :unsaved
      end)

      TestBackend.release(backend)
      assert {:ok, _other} = replaced(engine, before)
      assert %{"1" => %{"data" => %{"count" => 1}}} = document(backend).views["Elixir.DurableStash.SomeLive"]
      assert LiveViewProcess.save(lv, count: 3) == :ok
      {lv, _page} = mount(engine, page)
      assert %{count: 3, draft: "Dear"} = LiveViewProcess.assigns(lv)
    end

    @tag engine: false
    test "and is not started again goes on, until it is", %{engine: engine} do
      pid = start_temporary(engine)
      {lv, _page} = mount(engine)
      {:ok, running} = Engine.fetch(engine)
      kill(pid)
      assert LiveViewProcess.save(lv, count: 1) == :ok
      assert {:error, %Error{kind: :engine_down}} = Engine.drain(engine)
      start_engine(engine)
      assert Engine.fetch(engine) == {:ok, running}
      assert LiveViewProcess.save(lv, count: 2) == :ok
    end

    test "is found by what shows no secret", %{engine: engine} do
      {:ok, running} = Engine.fetch(engine)
      shown = inspect(running, limit: :infinity, printable_limit: :infinity)
      refute shown =~ secret()
      refute :erlang.term_to_binary(running) =~ secret()
    end

    @tag engine: false
    test "fault_34: between a write and the word of it, the write is there, and sending it again changes nothing",
         context do
      %{engine: engine, backend: backend} = context
      pid = start_temporary(engine, shutdown_timeout: 50)
      {lv, page} = mount(engine)
      {:ok, before} = Engine.fetch(engine)
      TestBackend.drop_put_answers(backend, 1)
      TestBackend.fail_gets(backend, 1, retry_after: 600_000)
      LiveViewProcess.stash(lv, count: 1, draft: "Dear")
      assert eventually(fn -> match?(%{commits: 1, gets: 2}, TestBackend.counts(backend)) end)
      assert LiveViewProcess.status(lv) in [:pending, :saving]
      kill(pid)
      start_engine(engine, shutdown_timeout: 51)
      assert {:ok, _other} = replaced(engine, before)

      LiveViewProcess.save(lv, [])
      assert LiveViewProcess.status(lv) == :saved

      assert %{"1" => %{"data" => %{"count" => 1}}} =
               document(backend).views["Elixir.DurableStash.SomeLive"]

      {lv, _page} = mount(engine, page)
      assert %{count: 1, draft: "Dear"} = LiveViewProcess.assigns(lv)
    end
  end

  defp start_temporary(engine, options \\ []),
    do: start_supervised!(Supervisor.child_spec(engine_spec(engine, options), restart: :temporary))

  defp kill(pid) do
    monitor = Process.monitor(pid)
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^monitor, :process, ^pid, :killed}
  end

  # Its supervisor starts another.
  defp kill_and_await(engine) do
    pid = Process.whereis(engine)
    kill(pid)
    assert eventually(fn -> Process.whereis(engine) not in [nil, pid] end)
  end

  defp replaced(engine, %{generation: generation}) do
    assert eventually(fn -> match?({:ok, %{generation: other}} when other != generation, Engine.fetch(engine)) end)
    Engine.fetch(engine)
  end

  defp config(engine) do
    {Engine, options} = engine_spec(engine)
    options |> Keyword.delete(:name) |> Config.new!()
  end

  describe "fault_46: a panic in the NIF" do
    for entry <-
          ~w(session_open session_stash session_reset session_recover session_flush session_status session_watch) do
      test "in #{entry} is no LiveView's end, and the engine stays up", %{engine: engine} do
        view =
          view(engine, [stored_keys: @keys, status: :stash_status], assigns: [count: 0, draft: ""])

        capture_log(fn ->
          :ok = Native.fault_hook(unquote(entry), :panic)
          {lv, page} = Page.mount(Page.open(Page.session()), view)
          LiveViewProcess.stash(lv, count: 1)
          LiveViewProcess.status(lv)
          LiveViewProcess.flush(lv)
          LiveViewProcess.reset(lv)
          {lv, page} = Page.mount(page, view)

          LiveViewProcess.stash(lv, count: 2, draft: "Dear")
          assert LiveViewProcess.flush(lv) == :ok
          assert LiveViewProcess.status(lv) == :saved
          {lv, _page} = Page.mount(page, view)
          assert %{count: 2, draft: "Dear"} = LiveViewProcess.assigns(lv)
        end)
      end
    end

    test "that kept nothing from being saved is forgotten with the next stash", %{engine: engine} do
      {lv, _page} = mount(engine)
      LiveViewProcess.save(lv, count: 1)
      :ok = Native.fault_hook("session_status", :panic)
      LiveViewProcess.stash(lv)
      assert LiveViewProcess.status(lv) == :unsaved
      LiveViewProcess.stash(lv)
      assert LiveViewProcess.status(lv) == :saved
    end

    test "is an error of the kind :engine_down, and none with the next call", %{engine: engine} do
      for {entry, call} <- [
            {"engine_stats", fn -> Engine.stats(engine) end},
            {"engine_health", fn -> Engine.health(engine) end},
            {"engine_forget", fn -> DurableStash.forget(Page.session(), engine: engine) end}
          ] do
        :ok = Native.fault_hook(entry, :panic)
        assert {:error, %Error{kind: :engine_down, message: message}} = call.()
        assert message =~ "nif_panicked"
        refute match?({:error, _error}, call.())
      end
    end

    test "at an engine's start or end is an error, and no hanging process" do
      options = [name: __MODULE__.Panicking, secret: secret(), backend: TestBackend]
      Process.flag(:trap_exit, true)
      :ok = Native.fault_hook("engine_start", :panic)
      assert {:error, %Error{kind: :engine_down}} = Engine.start_link(options)

      {:ok, pid} = Engine.start_link(options)
      :ok = Native.fault_hook("engine_drain", :panic)
      assert {:error, %Error{kind: :engine_down}} = Engine.drain(__MODULE__.Panicking)
      assert :ok = GenServer.stop(pid)
    end
  end

  describe "kill -9 of the whole node" do
    @describetag :tmp_dir
    @describetag engine: false
    @describetag timeout: 120_000

    setup %{engine: engine, tmp_dir: tmp_dir} do
      config = [backend: {:disk, path: tmp_dir}, secret: secret()]

      view = [
        stash: [adapter: DurableStash, stored_keys: [:left, :right]],
        assigns: [left: 0, right: 0]
      ]

      recover = fn page ->
        start_engine(engine, config)
        here = view(engine, [stored_keys: [:left, :right]], assigns: [left: 0, right: 0])
        {lv, _page} = Page.mount(page, here)
        {LiveViewProcess.recovered(lv), LiveViewProcess.assigns(lv)}
      end

      %{config: config, view: view, page: Page.open(Page.session()), recover: recover}
    end

    test "fault_32: between accept and commit a write is absent as a whole, and was never reported saved",
         context do
      node = OsNode.start([flush_after: 600_000] ++ context.config)
      page = OsNode.mount(node, :lv, context.page, context.view)
      OsNode.run(node, :stash, [:lv, [left: 1, right: 1]])
      assert OsNode.run(node, :status, [:lv]) in [:pending, :saving]
      OsNode.kill(node)
      assert {:not_found, %{left: 0, right: 0}} = context.recover.(page)
    end

    test "fault_33: in the middle of writing the object is an old or a new one, never less than was reported saved",
         context do
      node = OsNode.start(context.config)
      page = OsNode.mount(node, :lv, context.page, context.view)
      for n <- 1..20, do: :ok = OsNode.run(node, :save, [:lv, [left: n, right: n]])
      OsNode.storm(node, :lv)
      %{left: told} = OsNode.run(node, :saved_assigns, [:lv])
      OsNode.kill(node)

      assert {:recovered, %{left: left, right: right}} = context.recover.(page)
      assert left == right
      assert left >= told
    end

    test "fault_35: an application that stops has saved what it accepted", context do
      node = OsNode.start([flush_after: 600_000] ++ context.config)
      page = OsNode.mount(node, :lv, context.page, context.view)
      OsNode.run(node, :stash, [:lv, [left: 1, right: 1]])
      assert OsNode.stop_application(node) == :ok
      OsNode.kill(node)
      assert {:recovered, %{left: 1, right: 1}} = context.recover.(page)
    end

    test "fault_47: a library that cannot be loaded is one clear error, and nothing is started",
         context do
      copy = Path.join(context.tmp_dir, "durable_stash/ebin")
      File.mkdir_p!(copy)
      File.cp_r!(Application.app_dir(:durable_stash, "ebin"), copy)

      assert {:error, message} = OsNode.start(context.config, [String.to_charlist(copy)])
      assert message =~ "running: false"
      assert message =~ "the library in priv/native could not be loaded"
      assert message =~ "mix deps.compile durable_stash --force"
    end
  end
end
