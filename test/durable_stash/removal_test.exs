defmodule DurableStash.RemovalTest do
  use DurableStash.Case, async: true

  import ExUnit.CaptureLog

  @keys [:count, theme: :session, draft: :reconnect]
  @defaults [assigns: [count: 0, theme: "light", draft: ""]]

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
end
