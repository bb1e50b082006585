defmodule DurableStash.PeersTest do
  use DurableStash.Case, async: true

  alias Phoenix.Component

  defp themed(engine, options \\ []) do
    {view, stash} = Keyword.pop(options, :view, DurableStash.SomeLive)
    stash = Keyword.merge([stored_keys: [theme: {:shared, sync: true}, count: {:session, sync: true}]], stash)
    view(engine, stash, view: view, assigns: [theme: "light", count: 0])
  end

  defp mount(session, view), do: session |> Page.open() |> Page.mount(view) |> elem(0)

  # Everything that was in its mailbox was handled when this returns.
  defp assigns(lv), do: LiveViewProcess.assigns(lv)

  setup %{engine: engine} do
    session = Page.session()
    %{session: session, lv: mount(session, themed(engine)), other: mount(session, themed(engine))}
  end

  test "a change reaches the session's other LiveViews at once, before it is saved", context do
    TestBackend.stall_puts(context.backend, 1)
    LiveViewProcess.stash(context.lv, theme: "dark", count: 1)
    assert %{theme: "dark", count: 1} = assigns(context.other)
    assert LiveViewProcess.status(context.lv) in [:pending, :saving]
    TestBackend.release(context.backend)
  end

  test "a shared key reaches other views too, and a session key those of its own view and version", context do
    %{engine: engine, session: session} = context
    other_view = mount(session, themed(engine, view: DurableStash.OtherLive))
    other_version = mount(session, themed(engine, vsn: 2))
    LiveViewProcess.stash(context.lv, theme: "dark", count: 1)

    assert %{theme: "dark", count: 0} = assigns(other_view)
    assert %{theme: "dark", count: 0} = assigns(other_version)
    assert %{theme: "dark", count: 1} = assigns(context.other)
  end

  test "another browser session, another engine and another secret hear nothing", context do
    %{engine: engine, session: session} = context
    elsewhere = Module.concat(engine, Elsewhere)
    start_engine(elsewhere, backend: {TestBackend, name: engine})

    strangers = [
      mount(Page.session(), themed(engine)),
      mount(session, themed(elsewhere)),
      mount(session, themed(engine, secret: String.duplicate("another secret", 3)))
    ]

    LiveViewProcess.stash(context.lv, theme: "dark", count: 1)
    for stranger <- strangers, do: assert(%{theme: "light", count: 0} = assigns(stranger))
  end

  test "only a view that asks for it is told", context do
    view = themed(context.engine, stored_keys: [theme: :shared, count: :session])
    silent = mount(context.session, view)
    LiveViewProcess.stash(context.lv, theme: "dark", count: 1)
    assert %{theme: "light", count: 0} = assigns(silent)
    LiveViewProcess.stash(silent, theme: "blue")
    assert %{theme: "dark"} = assigns(context.lv)
  end

  test "a value comes as recovery would bring it back", context do
    LiveViewProcess.stash(context.lv, theme: %{mode: :dark, sizes: [1, 2.5, nil]}, count: :many)
    assert %{theme: %{"mode" => "dark", "sizes" => [1, 2.5, nil]}, count: "many"} = assigns(context.other)
    assert LiveViewProcess.flush(context.lv) == :ok
    assert assigns(mount(context.session, themed(context.engine))).theme == assigns(context.other).theme
  end

  test "what was taken over is not stashed again", %{engine: engine, backend: backend} = context do
    observe(engine, [[:durable_stash, :stash, :stop]])
    LiveViewProcess.save(context.lv, theme: "dark", count: 1)
    assert_received {:telemetry, [:durable_stash, :stash, :stop], _measurements, _metadata}

    assert %{theme: "dark"} = assigns(context.other)
    LiveViewProcess.stash(context.other)
    refute_received {:telemetry, [:durable_stash, :stash, :stop], _measurements, _metadata}
    assert LiveViewProcess.status(context.other) == :saved
    assert %{commits: 1} = TestBackend.counts(backend)
  end

  test "with auto_stash on both sides a change makes one write, and comes to rest", context do
    %{engine: engine, backend: backend} = context
    session = Page.session()
    views = for _tab <- 1..3, do: mount(session, themed(engine, auto_stash: true))
    for lv <- views, do: :ok = LiveViewProcess.flush(lv)
    %{commits: before} = TestBackend.counts(backend)

    [lv | others] = views
    LiveViewProcess.assign(lv, theme: "dark")
    for other <- others, do: assert(%{theme: "dark"} = assigns(other))
    for lv <- views, do: :ok = LiveViewProcess.flush(lv)
    assert %{commits: commits} = TestBackend.counts(backend)
    assert commits == before + 1
  end

  test "a message is handled by the adapter alone", context do
    LiveViewProcess.stash(context.lv, theme: "dark")
    assert %{theme: "dark"} = assigns(context.other)
    assert LiveViewProcess.unhandled(context.other) == []
  end

  test "a LiveView that does not read its mailbox holds nobody up", context do
    :sys.suspend(context.other)
    for n <- 1..100, do: LiveViewProcess.stash(context.lv, count: n)
    assert %{count: 100} = assigns(context.lv)
    :sys.resume(context.other)
    assert %{count: 100} = assigns(context.other)
  end

  test "a change of one's own that is not stashed yet stays, and wins when it is", context do
    LiveViewProcess.stash(context.other, theme: "light")
    LiveViewProcess.assign(context.other, theme: "blue")
    LiveViewProcess.stash(context.lv, theme: "dark", count: 1)
    assert %{theme: "blue", count: 1} = assigns(context.other)
    LiveViewProcess.stash(context.other)
    assert %{theme: "blue"} = assigns(context.lv)
  end

  test "an older change that comes late is no news", context do
    LiveViewProcess.stash(context.lv, theme: "dark")
    LiveViewProcess.stash(context.other, theme: "blue")
    send(context.other, {:durable_stash_sync, 1, {DurableStash.SomeLive, 1}, [{:shared, :theme, "late"}]})
    assert %{theme: "blue"} = assigns(context.other)
  end

  test "two that change one key at the same moment end with what the store has", context do
    %{lv: lv, other: other, session: session, engine: engine} = context

    for round <- 1..200 do
      tasks =
        for {name, view} <- [{"a", lv}, {"b", other}],
            do: Task.async(fn -> LiveViewProcess.stash(view, theme: "#{name} #{round}", count: round) end)

      Task.await_many(tasks)
    end

    :ok = LiveViewProcess.flush(lv)
    :ok = LiveViewProcess.flush(other)
    assert %{theme: theme} = assigns(lv)
    assert %{theme: ^theme} = assigns(other)
    assert %{theme: ^theme} = assigns(mount(session, themed(engine)))
  end

  test "a change that the engine did not take is told to nobody", context do
    %{engine: engine, lv: lv, other: other} = context
    :ok = stop_supervised(engine)
    LiveViewProcess.stash(lv, theme: "dark")
    assert %{theme: "light"} = assigns(other)
    start_engine(engine)
    LiveViewProcess.stash(lv)
    assert %{theme: "dark"} = assigns(other)
  end

  test "a value that cannot be stored is told to nobody", context do
    LiveViewProcess.stash(context.lv, theme: self(), count: 3)
    assert %{theme: "light", count: 3} = assigns(context.other)
  end

  test "what is taken over heals a key whose own value could not be stored", context do
    LiveViewProcess.stash(context.other, theme: self())
    assert LiveViewProcess.status(context.other) == :unsaved
    LiveViewProcess.stash(context.lv, theme: "dark")
    assert %{theme: "dark"} = assigns(context.other)
    assert LiveViewProcess.flush(context.other) == :ok
    assert LiveViewProcess.status(context.other) == :saved
  end

  test "a dead render listens to nobody", context do
    page = Page.open(context.session)
    dead = Page.render(page, themed(context.engine))
    LiveViewProcess.stash(context.lv, theme: "dark")
    assert %{theme: "light"} = assigns(dead)
    assert LiveViewProcess.unhandled(dead) == []
  end

  test "nobody is told of a change of their own", context do
    :erlang.trace(context.lv, true, [:receive])
    LiveViewProcess.stash(context.lv, theme: "dark")
    assert %{theme: "dark"} = assigns(context.other)
    assigns(context.lv)
    :erlang.trace(context.lv, false, [:receive])
    refute_received {:trace, _lv, :receive, {:durable_stash_sync, _turn, _origin, _changes}}
  end

  test "what changes while another mounts is not missed", context do
    %{session: session, engine: engine, lv: lv, backend: backend} = context
    LiveViewProcess.save(lv, theme: "before")
    TestBackend.stall_gets(backend, 1)
    mounting = Task.async(fn -> mount(session, themed(engine)) end)
    assert eventually(fn -> TestBackend.counts(backend).gets > 1 end)
    LiveViewProcess.stash(lv, theme: "meanwhile")
    TestBackend.release(backend)
    assert %{theme: "meanwhile"} = assigns(Task.await(mounting))
  end

  test "what was pushed before a recovery was answered does not replace what that has brought", context do
    %{session: session, engine: engine, lv: lv, backend: backend} = context
    LiveViewProcess.save(lv, theme: "before")
    silent = mount(session, themed(engine, stored_keys: [theme: :shared]))
    %{gets: gets} = TestBackend.counts(backend)

    TestBackend.stall_gets(backend, 1)
    mounting = Task.async(fn -> mount(session, themed(engine)) end)
    assert eventually(fn -> TestBackend.counts(backend).gets > gets end)
    LiveViewProcess.stash(lv, theme: "pushed", count: 5)
    LiveViewProcess.stash(silent, theme: "later")
    LiveViewProcess.reset(lv)
    # So that the recovery knows of them.
    for writer <- [lv, silent], do: :ok = LiveViewProcess.flush(writer)
    TestBackend.release(backend)

    mounted = Task.await(mounting)
    assert %{theme: "later", count: 0} = assigns(mounted)
    LiveViewProcess.stash(lv, theme: "latest")
    assert %{theme: "latest"} = assigns(mounted)
  end

  test "another one's default does not replace what recovery has brought", context do
    %{session: session, engine: engine, lv: lv} = context
    elsewhere = Module.concat(engine, Elsewhere)
    start_engine(elsewhere, backend: {TestBackend, name: engine})
    LiveViewProcess.save(mount(session, themed(elsewhere)), theme: "dark")

    recovers = mount(session, themed(engine))
    # Mounted before anything was stored, and has the default.
    LiveViewProcess.save(lv, count: 1)
    assert %{theme: "dark", count: 1} = assigns(recovers)
  end

  @tag engine: [max_unsaved_age: 300]
  test "a pushed value that is not saved is sent again by the LiveView whose change it was, and all agree", context do
    %{session: session, engine: engine, lv: lv, other: other, backend: backend} = context
    TestBackend.deny_puts(backend, 1_000_000)
    LiveViewProcess.stash(lv, theme: "dark")
    assert %{theme: "dark"} = assigns(other)
    assert {:error, %Error{}} = LiveViewProcess.flush(lv)
    assert LiveViewProcess.status(lv) == :unsaved
    # It was not the other one's change, and it is not the other one that has to save it.
    assert LiveViewProcess.status(other) == :saved

    TestBackend.reset(backend)
    LiveViewProcess.stash(lv)
    assert LiveViewProcess.flush(lv) == :ok
    assert %{theme: "dark"} = assigns(other)
    assert %{theme: "dark"} = assigns(mount(session, themed(engine)))
  end

  test "a LiveView that asks for its stash twice has one, which hears of each change once", context do
    %{session: session, engine: engine, lv: lv} = context
    stash = [stored_keys: [:count, theme: {:shared, sync: true}, note: :reconnect], status: :standing, auto_stash: true]
    options = [engine: engine] ++ stash

    twice = fn socket ->
      {:cont, socket} = DurableStash.on_mount(options, %{}, session, socket)
      {:cont, socket} = DurableStash.on_mount(options, %{}, session, socket)
      socket |> DurableStash.recover_state() |> elem(1)
    end

    # Its defaults are told by now.
    LiveViewProcess.save(lv, theme: "dim", count: 1)
    view = view(engine, stash, assigns: [theme: "light", count: 0, note: ""], mount: twice)
    {asks_twice, page} = session |> Page.open() |> Page.mount(view)

    :erlang.trace(asks_twice, true, [:receive])
    LiveViewProcess.stash(lv, theme: "dark")
    assert %{theme: "dark", standing: _shown} = assigns(asks_twice)
    :erlang.trace(asks_twice, false, [:receive])
    assert_received {:trace, _lv, :receive, {:durable_stash_sync, _rank, _origin, _changes}}
    refute_received {:trace, _lv, :receive, {:durable_stash_sync, _rank, _origin, _changes}}

    LiveViewProcess.assign(asks_twice, theme: "blue", note: "Dear")
    assert LiveViewProcess.flush(asks_twice) == :ok
    assert %{theme: "blue"} = assigns(lv)
    assert %{theme: "blue", note: "Dear"} = page |> Page.mount(view) |> elem(0) |> assigns()
    assert LiveViewProcess.unhandled(asks_twice) == []
  end

  test "what is pushed shows neither the session's id nor the secret", context do
    :erlang.trace(context.other, true, [:receive])
    LiveViewProcess.run(context.lv, &{:ok, &1 |> Component.assign(theme: "dark") |> LiveStash.stash()})
    assigns(context.other)
    :erlang.trace(context.other, false, [:receive])

    assert_received {:trace, _other, :receive, message} when elem(message, 0) == :durable_stash_sync
    refute inspect(message, limit: :infinity) =~ context.session["sid"]
    registered = inspect(Registry.select(DurableStash.Peers, [{{:"$1", :_, :_}, [], [:"$1"]}]), limit: :infinity)
    refute registered =~ context.session["sid"]
  end
end
