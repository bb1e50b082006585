defmodule DurableStashTest do
  use DurableStash.Case, async: true

  use DurableStash.AdapterContract, stash: &__MODULE__.contract_stash/2

  import ExUnit.CaptureLog

  @keys [:count, theme: :session, draft: :reconnect]
  @defaults [assigns: [count: 0, theme: "light", draft: ""]]

  def contract_stash(context, keys) do
    # The contract's pages rejoin, so the tab's scope will do.
    [
      adapter: DurableStash,
      engine: context.engine,
      stored_keys: Enum.map(keys, &{&1, :reconnect})
    ]
  end

  describe "what comes back" do
    setup context do
      %{view: view(context.engine, [stored_keys: @keys], @defaults), session: Page.session()}
    end

    test "a rejoin gets both scopes", %{view: view, session: session} do
      {lv, page} = Page.mount(Page.open(session), view)
      LiveViewProcess.save(lv, count: 1, theme: "dark", draft: "Dear")
      LiveViewProcess.close(lv)

      {rejoined, _page} = Page.mount(page, view)
      assert LiveViewProcess.recovered(rejoined) == :recovered
      assert %{count: 1, theme: "dark", draft: "Dear"} = LiveViewProcess.assigns(rejoined)
    end

    test "a new page of the session gets the :session keys only", %{view: view, session: session} do
      {lv, _page} = Page.mount(Page.open(session), view)
      LiveViewProcess.save(lv, count: 1, theme: "dark", draft: "Dear")

      {other, _page} = Page.mount(Page.open(session), view)
      assert LiveViewProcess.recovered(other) == :recovered
      assert %{count: 1, theme: "dark", draft: ""} = LiveViewProcess.assigns(other)
    end

    test "the dead render gets the :session keys only", %{view: view, session: session} do
      {lv, page} = Page.mount(Page.open(session), view)
      LiveViewProcess.save(lv, count: 1, draft: "Dear")

      dead = Page.render(page, view)
      assert LiveViewProcess.recovered(dead) == :recovered
      assert %{count: 1, draft: ""} = LiveViewProcess.assigns(dead)
    end

    test "another session gets nothing, under the same LiveView id either", %{
      view: view,
      session: session
    } do
      page = Page.open(session, id: "phx-the-same")
      {lv, _page} = Page.mount(page, view)
      LiveViewProcess.save(lv, count: 1, draft: "Dear")

      forged = %{Page.open(Page.session(), id: "phx-the-same") | memory: page.memory, mounts: 1}
      {other, _page} = Page.mount(forged, view)
      assert LiveViewProcess.recovered(other) == :not_found
      assert %{count: 0, draft: ""} = LiveViewProcess.assigns(other)
    end

    test "another view of the session gets nothing", %{view: view, session: session} do
      {lv, page} = Page.mount(Page.open(session), view)
      LiveViewProcess.save(lv, count: 1)

      {other, _page} = Page.mount(page, [view: DurableStash.OtherLive] ++ view)
      assert LiveViewProcess.recovered(other) == :not_found
    end

    test "keys that are declared and not stored keep what mount assigned", %{
      engine: engine,
      session: session
    } do
      {lv, page} =
        Page.mount(Page.open(session), view(engine, [stored_keys: [:count]], assigns: [count: 1]))

      LiveViewProcess.save(lv, count: 2)

      more = view(engine, [stored_keys: [:count, :step]], assigns: [count: 0, step: 10])
      {rejoined, _page} = Page.mount(page, more)
      assert %{count: 2, step: 10} = LiveViewProcess.assigns(rejoined)
    end

    test "keys that are stored and not declared become no atoms", %{
      engine: engine,
      session: session
    } do
      name = "never_an_atom_#{System.unique_integer([:positive])}"
      {lv, page} = Page.mount(Page.open(session), view(engine, stored_keys: [:data]))
      LiveViewProcess.save(lv, data: %{name => [name]})

      {rejoined, _page} = Page.mount(page, view(engine, stored_keys: [:data]))
      assert %{data: %{^name => [^name]}} = LiveViewProcess.assigns(rejoined)
      assert_raise ArgumentError, fn -> String.to_existing_atom(name) end
    end

    test "recovered assigns are marked as changed, equal ones are not", %{
      view: view,
      session: session
    } do
      {lv, page} = Page.mount(Page.open(session), view)
      LiveViewProcess.save(lv, count: 1)

      test = self()
      mount = fn socket -> tap(socket, &send(test, {:changed, &1.assigns.__changed__})) end

      Page.mount(
        page,
        [mount: mount] ++ Keyword.put(view, :assigns, count: 0, theme: "light", draft: "")
      )

      assert_receive {:changed, %{count: true}}
    end
  end

  describe "tabs" do
    setup context do
      %{view: view(context.engine, [stored_keys: @keys], @defaults), session: Page.session()}
    end

    test "two pages with one LiveView id are two tabs where the client script is loaded",
         context do
      {one, one_page} = Page.mount(Page.open(context.session, id: "phx-duplicated"), context.view)
      {two, two_page} = Page.mount(Page.open(context.session, id: "phx-duplicated"), context.view)
      LiveViewProcess.save(one, draft: "one")
      LiveViewProcess.save(two, draft: "two")

      {one, _page} = Page.mount(one_page, context.view)
      {two, _page} = Page.mount(two_page, context.view)
      assert %{draft: "one"} = LiveViewProcess.assigns(one)
      assert %{draft: "two"} = LiveViewProcess.assigns(two)
    end

    test "without the client script the LiveView's id is the tab", context do
      {lv, page} = Page.mount(Page.open(context.session, script: false), context.view)
      assert LiveViewProcess.pushed(lv) == []
      LiveViewProcess.save(lv, draft: "Dear")

      {rejoined, _page} = Page.mount(page, context.view)
      assert %{draft: "Dear"} = LiveViewProcess.assigns(rejoined)
    end

    test "live navigation starts an empty tab, under the id seen before too", context do
      for script <- [true, false] do
        session = Page.session()
        {lv, page} = Page.mount(Page.open(session, script: script), context.view)
        LiveViewProcess.save(lv, count: 1, draft: "Dear")
        LiveViewProcess.close(lv)

        {navigated, page} = Page.mount(Page.navigate(page), context.view)
        assert %{count: 1, draft: ""} = LiveViewProcess.assigns(navigated)
        LiveViewProcess.save(navigated, count: 2)
        LiveViewProcess.close(navigated)

        {rejoined, _page} = Page.mount(page, context.view)
        assert %{count: 2, draft: ""} = LiveViewProcess.assigns(rejoined)
      end
    end

    test "a zombie stays one when the engine restarts under it and its successor", context do
      {zombie, page} = Page.mount(Page.open(context.session), context.view)
      LiveViewProcess.save(zombie, count: 1, draft: "old")
      restart_engine(context.engine)
      {lv, _page} = Page.mount(page, context.view)
      LiveViewProcess.save(lv, count: 2, draft: "new")

      capture_log(fn -> LiveViewProcess.stash(zombie, count: 100, draft: "undead") end)
      assert {:error, %Error{kind: :superseded}} = LiveViewProcess.flush(zombie)
      LiveViewProcess.save(lv, count: 3, draft: "newer")
      assert %{count: 3, draft: "newer"} = LiveViewProcess.assigns(lv)
      assert LiveViewProcess.status(lv) == :saved
    end

    test "a LiveView whose tab has mounted again changes nothing any more", context do
      {zombie, page} = Page.mount(Page.open(context.session), context.view)
      LiveViewProcess.save(zombie, count: 1, draft: "old")
      {lv, page} = Page.mount(page, context.view)
      LiveViewProcess.save(lv, count: 2, draft: "new")

      capture_log(fn -> LiveViewProcess.stash(zombie, count: 100, draft: "undead") end)
      assert LiveViewProcess.status(zombie) == :unsaved
      assert {:error, %Error{kind: :superseded}} = LiveViewProcess.flush(zombie)
      assert LiveViewProcess.status(lv) == :saved

      {rejoined, _page} = Page.mount(page, context.view)
      assert %{count: 2, draft: "new"} = LiveViewProcess.assigns(rejoined)
    end
  end

  test "fault_68: any session id names an object of fixed length, and no two the same", context do
    %{engine: engine, backend: backend} = context
    sids = ["x", "../../x", "a\0b", "é", "e\u0301", "ab", "a", String.duplicate("x", 512), "durable_stash:v1:ab"]

    for sid <- sids do
      {lv, _page} = Page.mount(Page.open(Page.session(sid)), view(engine, stored_keys: [:sid_bytes]))
      assert LiveViewProcess.save(lv, sid_bytes: byte_size(sid)) == :ok
    end

    objects = TestBackend.dump(backend)
    assert map_size(objects) == length(sids)
    for {name, _document} <- objects, do: assert(name =~ ~r"\Adurable_stash/([0-9a-f]{2})/\1[0-9a-f]{62}\z")
  end

  describe "where nothing can be stored" do
    setup context do
      %{view: view(context.engine, [stored_keys: @keys], @defaults)}
    end

    test "fault_55: a visitor's first dead render asks the store nothing", %{
      view: view,
      backend: backend
    } do
      for _crawler <- 1..100 do
        conn =
          :get
          |> Plug.Test.conn("/")
          |> Plug.Test.init_test_session(%{})
          |> DurableStash.Plug.ensure_session_id()

        dead = Page.render(Page.open(Plug.Conn.get_session(conn)), view)
        assert LiveViewProcess.recovered(dead) == :not_found
      end

      assert %{gets: 0, puts: 0} = TestBackend.counts(backend)
      assert TestBackend.dump(backend) == %{}
    end

    test "fault_55: a dead render stashes nothing", %{view: view, backend: backend} do
      dead = Page.render(Page.open(Page.session()), [mount: &LiveStash.stash/1] ++ view)
      assert LiveViewProcess.status(dead) == :saved
      assert LiveViewProcess.flush(dead) == :ok
      LiveViewProcess.run(dead, &{:ok, LiveStash.reset_stash(&1)})
      assert %{puts: 0} = TestBackend.counts(backend)
    end

    test "fault_55: views with :reconnect keys only ask the store at rejoins only", %{
      engine: engine,
      backend: backend
    } do
      view = view(engine, [stored_keys: [draft: :reconnect]], assigns: [draft: ""])
      page = Page.open(Page.session())
      Page.render(page, view)
      {_lv, page} = Page.mount(page, view)
      assert %{gets: 0, puts: 0} = TestBackend.counts(backend)

      {_lv, _page} = Page.mount(page, view)
      assert %{gets: 1, puts: 0} = TestBackend.counts(backend)
    end

    test "a visitor who never stashes causes no write", %{view: view, backend: backend} do
      {_lv, page} = Page.mount(Page.open(Page.session()), view)
      {_lv, page} = Page.mount(page, view)
      {_lv, _page} = Page.mount(Page.navigate(page), view)
      assert %{puts: 0} = TestBackend.counts(backend)
    end

    test "a session without an id goes on without a stash", %{view: view, backend: backend} do
      for session <- [%{}, %{"sid" => ""}, %{"sid" => 42}] do
        capture_log(fn ->
          {lv, _page} = Page.mount(Page.open(session), view)
          assert LiveViewProcess.recovered(lv) == :error
          assert LiveViewProcess.status(lv) == :saved
          LiveViewProcess.stash(lv, count: 1)
          assert LiveViewProcess.status(lv) == :unsaved
          assert {:error, %Error{kind: :refused, message: message}} = LiveViewProcess.flush(lv)
          assert message =~ "ensure_session_id"
          LiveViewProcess.reset(lv)
        end)
      end

      assert %{gets: 0, puts: 0} = TestBackend.counts(backend)
    end
  end

  describe "auto_stash: true" do
    test "stashes after each render that changed something", %{engine: engine, backend: backend} do
      view = view(engine, [stored_keys: @keys, auto_stash: true], @defaults)
      {lv, page} = Page.mount(Page.open(Page.session()), view)
      LiveViewProcess.assign(lv, count: 5)
      assert LiveViewProcess.flush(lv) == :ok
      LiveViewProcess.assign(lv, other: 1)
      assert LiveViewProcess.flush(lv) == :ok
      assert %{commits: commits} = TestBackend.counts(backend)
      assert commits <= 2

      {rejoined, _page} = Page.mount(page, view)
      assert %{count: 5} = LiveViewProcess.assigns(rejoined)
    end
  end

  describe "options" do
    test "may be given twice, by the view and by its live session: the last ones count", %{engine: engine} do
      session = Page.session()
      {lv, _page} = Page.mount(Page.open(session), view(engine, [stored_keys: [:other]], @defaults))

      LiveViewProcess.run(lv, fn socket ->
        socket = LiveStash.init_stash(socket, session, adapter: DurableStash, engine: engine, stored_keys: @keys)
        {:ok, socket |> Phoenix.Component.assign(count: 5) |> LiveStash.stash()}
      end)

      :ok = LiveViewProcess.flush(lv)
      {again, _page} = Page.mount(Page.open(session), view(engine, [stored_keys: @keys], @defaults))
      assert %{count: 5} = LiveViewProcess.assigns(again)
    end

    test "fault_73: a bad one raises at mount", %{engine: engine} do
      socket = %Phoenix.LiveView.Socket{}
      options = [adapter: DurableStash, engine: engine, stored_keys: [draft: :permanent]]

      assert_raise ArgumentError, ~r/:permanent of :draft/, fn ->
        LiveStash.init_stash(socket, %{}, options)
      end
    end
  end
end
