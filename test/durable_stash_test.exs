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

  describe "status/1 and flush/2" do
    setup context do
      {lv, page} =
        Page.mount(
          Page.open(Page.session()),
          view(context.engine, [stored_keys: @keys], @defaults)
        )

      %{lv: lv, page: page}
    end

    test "nothing stashed is saved", %{lv: lv} do
      assert LiveViewProcess.status(lv) == :saved
      assert LiveViewProcess.flush(lv) == :ok
    end

    test "an accepted write is :pending, then :saving, until the store has it", %{lv: lv, backend: backend} do
      TestBackend.stall_puts(backend, 1)
      LiveViewProcess.stash(lv, count: 1)
      assert LiveViewProcess.status(lv) in [:pending, :saving]
      assert eventually(fn -> LiveViewProcess.status(lv) == :saving end)
      TestBackend.release(backend)
      assert LiveViewProcess.flush(lv) == :ok
      assert LiveViewProcess.status(lv) == :saved
      assert %{views: views} = document(backend)
      assert %{"1" => %{"data" => %{"count" => 1}}} = views["Elixir.DurableStash.SomeLive"]
    end

    test "giving up says that the outcome is open, and leaves no message behind", %{
      lv: lv,
      backend: backend
    } do
      TestBackend.stall_puts(backend, 1)
      LiveViewProcess.stash(lv, count: 1)
      assert {:error, %Error{kind: :timeout}} = LiveViewProcess.flush(lv, 0)
      assert LiveViewProcess.status(lv) in [:pending, :saving]

      TestBackend.release(backend)
      assert LiveViewProcess.flush(lv) == :ok
      assert LiveViewProcess.unhandled(lv) == []
    end

    test "fault_73: a timeout that cannot be waited raises before anything is asked for", %{lv: lv} do
      socket = LiveViewProcess.socket(lv)

      for bad <- [-1, 1.5, nil, :soon, 4_294_967_296] do
        assert_raise ArgumentError, ~r/flush\/2: the timeout takes/, fn -> DurableStash.flush(socket, bad) end
      end

      LiveViewProcess.stash(lv, count: 1)
      assert LiveViewProcess.flush(lv, :infinity) == :ok
      assert LiveViewProcess.flush(lv, 4_294_967_295) == :ok
      assert LiveViewProcess.unhandled(lv) == []
    end

    test "raise on a socket that was never initialized" do
      for call <- [
            &DurableStash.status/1,
            &DurableStash.flush/1,
            &DurableStash.forget/1,
            &DurableStash.stash/1
          ] do
        assert_raise ArgumentError, ~r/use LiveStash, adapter: DurableStash/, fn ->
          call.(%Phoenix.LiveView.Socket{})
        end
      end
    end
  end

  describe "faults of the store" do
    setup context do
      {lv, page} =
        Page.mount(
          Page.open(Page.session()),
          view(context.engine, [stored_keys: @keys], @defaults)
        )

      %{lv: lv, page: page, view: view(context.engine, [stored_keys: @keys], @defaults)}
    end

    test "fault_19: what is stashed while the store is away is saved when it is back", context do
      %{lv: lv, backend: backend} = context
      observe(context.engine, [[:durable_stash, :retry]])
      TestBackend.fail_puts(backend, 1_000_000)
      for count <- 1..50, do: LiveViewProcess.stash(lv, count: count)
      assert_receive {:telemetry, [:durable_stash, :retry], %{delay_ms: _}, _metadata}
      assert LiveViewProcess.status(lv) in [:pending, :saving]
      assert {:error, %Error{kind: :timeout}} = LiveViewProcess.flush(lv, 0)
      assert TestBackend.dump(backend) == %{}

      TestBackend.fail_puts(backend, 1)
      TestBackend.reset(backend)
      assert LiveViewProcess.flush(lv) == :ok

      assert %{views: %{"Elixir.DurableStash.SomeLive" => %{"1" => %{"data" => data}}}} =
               document(backend)

      assert data == %{"count" => 50, "theme" => "light"}
    end

    test "fault_57: a burst of a thousand stashes costs two writes", %{lv: lv, backend: backend} do
      TestBackend.stall_puts(backend, 1)
      LiveViewProcess.stash(lv, count: 1)
      # Not before: a session that is slow to begin would take them all with its first write.
      assert eventually(fn -> TestBackend.counts(backend).puts == 1 end)
      for count <- 2..1_000, do: LiveViewProcess.stash(lv, count: count)
      # Read after write: now the session has all of them.
      assert {:recovered, %{assigns: %{count: 1_000}}} = LiveViewProcess.run(lv, &{LiveStash.recover_state(&1), &1})
      TestBackend.release(backend)
      assert LiveViewProcess.flush(lv) == :ok
      assert %{puts: 2, most_in_flight: in_flight} = TestBackend.counts(backend)
      # A read beside the write.
      assert in_flight <= 2

      assert %{
               views: %{
                 "Elixir.DurableStash.SomeLive" => %{"1" => %{"data" => %{"count" => 1_000}}}
               }
             } = document(backend)
    end

    test "a lost answer is no second write", %{lv: lv, backend: backend} do
      TestBackend.drop_put_answers(backend, 1)
      assert LiveViewProcess.save(lv, count: 1) == :ok
      assert %{commits: 1} = TestBackend.counts(backend)
      assert %{header: %{"rev" => 1}} = document(backend)
    end

    test "lost races are no errors", %{lv: lv, backend: backend} do
      TestBackend.conflict(backend, 3, :moved)
      TestBackend.conflict(backend, 3, :busy)
      assert LiveViewProcess.save(lv, count: 1) == :ok

      assert %{views: %{"Elixir.DurableStash.SomeLive" => %{"1" => %{"data" => %{"count" => 1}}}}} =
               document(backend)
    end

    @tag engine: [max_document_bytes: 10_000]
    test "after a write that failed the next stash sends everything", context do
      %{lv: lv, page: page, view: view, backend: backend} = context
      LiveViewProcess.save(lv, count: 1, theme: "dark", draft: "Dear")
      LiveViewProcess.stash(lv, count: 2, theme: String.duplicate("too large", 2_000))
      assert {:error, %Error{kind: :too_large}} = LiveViewProcess.flush(lv)
      assert LiveViewProcess.status(lv) == :unsaved

      # Nothing of what was saved before is needed to make the next stash whole.
      TestBackend.delete_object(backend, hd(Map.keys(TestBackend.dump(backend))))
      assert LiveViewProcess.save(lv, theme: "blue") == :ok
      assert LiveViewProcess.status(lv) == :saved

      {rejoined, _page} = Page.mount(page, view)
      assert %{count: 2, theme: "blue", draft: "Dear"} = LiveViewProcess.assigns(rejoined)
    end
  end

  describe "a new engine" do
    test "gets everything that a living LiveView keeps, though its store is empty", %{
      engine: engine,
      backend: backend
    } do
      view = view(engine, [stored_keys: @keys], @defaults)
      {lv, page} = Page.mount(Page.open(Page.session()), view)
      LiveViewProcess.save(lv, count: 1, theme: "dark", draft: "Dear")
      restart_engine(engine)
      TestBackend.reset(backend)

      assert LiveViewProcess.save(lv, count: 2) == :ok
      {rejoined, _page} = Page.mount(page, view)
      assert %{count: 2, theme: "dark", draft: "Dear"} = LiveViewProcess.assigns(rejoined)
    end

    test "recovers what the one before saved", %{engine: engine} do
      view = view(engine, [stored_keys: @keys], @defaults)
      {lv, page} = Page.mount(Page.open(Page.session()), view)
      LiveViewProcess.stash(lv, count: 1, draft: "Dear")
      LiveViewProcess.close(lv)
      restart_engine(engine)

      {rejoined, _page} = Page.mount(page, view)
      assert %{count: 1, draft: "Dear"} = LiveViewProcess.assigns(rejoined)
    end

    test "is waited for: without one nothing raises, and the next stash finds it", %{
      engine: engine
    } do
      view = view(engine, [stored_keys: @keys], @defaults)
      :ok = stop_supervised(engine)

      {lv, _page} =
        with_log_dropped(fn ->
          {lv, page} = Page.mount(Page.open(Page.session()), view)
          assert LiveViewProcess.recovered(lv) == :error
          LiveViewProcess.stash(lv, count: 1)
          LiveViewProcess.reset(lv)
          LiveViewProcess.stash(lv, count: 2)
          assert LiveViewProcess.status(lv) == :unsaved
          assert {:error, %Error{kind: :engine_down}} = LiveViewProcess.flush(lv)
          {lv, page}
        end)

      start_engine(engine)
      assert LiveViewProcess.save(lv, count: 3) == :ok
      assert LiveViewProcess.status(lv) == :saved
    end
  end

  describe "reset_stash/1" do
    test "empties this view and this tab, and no other", %{engine: engine} do
      view = view(engine, [stored_keys: @keys], @defaults)
      other_view = [view: DurableStash.OtherLive] ++ view
      session = Page.session()
      {lv, page} = Page.mount(Page.open(session), view)
      {tab, tab_page} = Page.mount(Page.open(session), view)
      {other, other_page} = Page.mount(Page.open(session), other_view)
      LiveViewProcess.save(lv, count: 1, draft: "mine")
      LiveViewProcess.save(tab, draft: "theirs")
      LiveViewProcess.save(other, count: 3, draft: "other")

      LiveViewProcess.reset(lv)
      assert LiveViewProcess.flush(lv) == :ok
      Enum.each([lv, tab, other], &LiveViewProcess.close/1)

      {lv, _page} = Page.mount(page, view)
      assert LiveViewProcess.recovered(lv) == :not_found
      {tab, _page} = Page.mount(tab_page, view)
      assert %{count: 0, draft: "theirs"} = LiveViewProcess.assigns(tab)
      {other, _page} = Page.mount(other_page, other_view)
      assert %{count: 3, draft: "other"} = LiveViewProcess.assigns(other)
    end

    @tag engine: [max_unsaved_age: 50]
    test "that was given up comes before the next stash", %{engine: engine, backend: backend} do
      view = view(engine, [stored_keys: [:count, :gone]], assigns: [])
      {lv, page} = Page.mount(Page.open(Page.session()), view)
      LiveViewProcess.save(lv, count: 1, gone: true)
      LiveViewProcess.close(lv)

      {lv, page} = Page.mount(page, view(engine, stored_keys: [:count]))
      TestBackend.fail_puts(backend, 1, retry_after: 600_000)
      LiveViewProcess.reset(lv)
      assert {:error, %Error{}} = LiveViewProcess.flush(lv)
      assert LiveViewProcess.status(lv) == :unsaved
      restart_engine(engine)
      assert LiveViewProcess.save(lv, count: 2) == :ok

      {rejoined, _page} = Page.mount(page, view)
      assigns = LiveViewProcess.assigns(rejoined)
      assert %{count: 2} = assigns
      refute Map.has_key?(assigns, :gone)
    end
  end

  describe "forget/2" do
    setup context do
      view = view(context.engine, [stored_keys: @keys], @defaults)
      session = Page.session()
      {lv, page} = Page.mount(Page.open(session), view)
      LiveViewProcess.save(lv, count: 1, draft: "Dear")
      %{view: view, session: session, lv: lv, page: page}
    end

    test "fault_69: deletes a session's document, by the session",
         %{engine: engine, session: session} = context do
      LiveViewProcess.close(context.lv)
      assert DurableStash.forget(session, engine: engine) == :ok
      {lv, _page} = Page.mount(context.page, context.view)
      assert LiveViewProcess.recovered(lv) == :not_found
    end

    test "fault_69: by a conn with the session", %{engine: engine, session: session} = context do
      LiveViewProcess.close(context.lv)
      conn = :get |> Plug.Test.conn("/") |> Plug.Test.init_test_session(session)
      assert DurableStash.forget(conn, engine: engine) == :ok
      {lv, _page} = Page.mount(context.page, context.view)
      assert LiveViewProcess.recovered(lv) == :not_found
    end

    test "by a LiveView's socket", %{lv: lv} = context do
      assert LiveViewProcess.run(lv, &{DurableStash.forget(&1), &1}) == :ok
      {lv, _page} = Page.mount(context.page, context.view)
      assert LiveViewProcess.recovered(lv) == :not_found
    end

    test "touches no other session", %{engine: engine} = context do
      assert DurableStash.forget(Page.session(), engine: engine) == :ok
      {lv, _page} = Page.mount(context.page, context.view)
      assert LiveViewProcess.recovered(lv) == :recovered
    end

    test "finds the session by its own key, and views with their own secret", %{engine: engine} do
      secret = String.duplicate("a view's own secret ", 3)

      view =
        view(engine, [stored_keys: @keys, session_id_key: "browser", secret: secret], @defaults)

      session = %{"browser" => "an id of this browser"}
      {lv, page} = Page.mount(Page.open(session), view)
      LiveViewProcess.save(lv, count: 1)
      LiveViewProcess.close(lv)

      assert DurableStash.forget(session,
               engine: engine,
               session_id_key: "browser",
               secret: secret
             ) == :ok

      {lv, _page} = Page.mount(page, view)
      assert LiveViewProcess.recovered(lv) == :not_found
    end

    test "a session without an id has nothing to forget" do
      assert DurableStash.forget(%{}) == :ok
    end

    @tag engine: [shutdown_timeout: 50]
    test "a store that is away is an error", %{engine: engine, session: session, backend: backend} do
      TestBackend.fail_puts(backend, 1_000_000)
      TestBackend.fail_gets(backend, 1_000_000)

      capture_log(fn ->
        assert {:error, %Error{kind: :timeout}} =
                 DurableStash.forget(session, engine: engine, timeout: 0)
      end)
    end

    test "an unknown option raises", %{session: session} do
      assert_raise ArgumentError, ~r/forget\/2: unknown option :key/, fn ->
        DurableStash.forget(session, key: "sid")
      end
    end

    test "fault_73: a bad option is named, and a secret is not shown", %{session: session, lv: lv} do
      for {options, message} <- [
            {[secret: "hunter2"], ~r/the option :secret takes/},
            {[session_id_key: :sid], ~r/:session_id_key takes a string/},
            {[engine: "engine"], ~r/:engine takes/},
            {[timeout: -1], ~r/the option :timeout takes a number of milliseconds/},
            {[timeout: 4_294_967_296], ~r/the option :timeout takes/}
          ] do
        error = assert_raise ArgumentError, message, fn -> DurableStash.forget(session, options) end
        refute error.message =~ "hunter2"
      end

      assert_raise ArgumentError, ~r/:timeout takes/, fn ->
        DurableStash.forget(LiveViewProcess.socket(lv), timeout: :soon)
      end
    end

    test "what is no session, conn or socket is named by its kind, and not shown" do
      for {other, kind} <- [{%URI{host: "hunter2"}, "a URI"}, {"hunter2", "something else"}, {nil, "something else"}] do
        error = assert_raise ArgumentError, fn -> DurableStash.forget(other) end
        assert error.message =~ "takes a Phoenix.LiveView.Socket, a Plug.Conn or a session map"
        assert error.message =~ kind
        refute error.message =~ "hunter2"
      end
    end
  end

  describe "a view's own secret" do
    test "keeps its state apart, and rotates", %{engine: engine} do
      old = String.duplicate("old secret ", 4)
      new = String.duplicate("new secret ", 4)
      session = Page.session()

      {lv, page} =
        Page.mount(Page.open(session), view(engine, stored_keys: [:count], secret: old))

      LiveViewProcess.save(lv, count: 1)
      LiveViewProcess.close(lv)

      {lv, _page} = Page.mount(page, view(engine, stored_keys: [:count]))
      assert LiveViewProcess.recovered(lv) == :not_found
      {lv, _page} = Page.mount(page, view(engine, stored_keys: [:count], secret: [new, old]))
      assert %{count: 1} = LiveViewProcess.assigns(lv)
      LiveViewProcess.save(lv, count: 2)
      LiveViewProcess.close(lv)

      {lv, _page} = Page.mount(page, view(engine, stored_keys: [:count], secret: new))
      assert %{count: 2} = LiveViewProcess.assigns(lv)
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

  describe "durability: :await" do
    test "a stash returns when it is saved", %{engine: engine, backend: backend} do
      view = view(engine, [stored_keys: @keys, durability: :await], @defaults)
      {lv, _page} = Page.mount(Page.open(Page.session()), view)

      status =
        LiveViewProcess.run(lv, fn socket ->
          socket = LiveStash.stash(socket)
          {DurableStash.status(socket), socket}
        end)

      assert status == :saved
      assert %{commits: 1} = TestBackend.counts(backend)
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

  defp with_log_dropped(fun) do
    {result, _log} = with_log(fun)
    result
  end
end
