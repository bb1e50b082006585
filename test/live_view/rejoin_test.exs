Code.require_file("support/live_view_case.exs", __DIR__)

defmodule DurableStash.LiveView.RejoinTest do
  use DurableStash.LiveViewCase

  import ExUnit.CaptureLog

  test "a rejoin brings back what the session and the tab stashed", %{browser: browser} do
    page = browser |> Browser.load("/draft") |> Page.connect()
    assert %{"mounted" => "not_found"} = Page.shown(page)

    page |> Page.stash(%{"count" => 3, "theme" => "dark", "draft" => "Dear"}) |> Page.disconnect()

    assert %{"mounted" => "recovered", "count" => "3", "theme" => "dark", "draft" => "Dear"} =
             page |> Page.connect() |> Page.shown()
  end

  test "a page that was just loaded gets what the session stashed, not what a tab did", %{
    browser: browser
  } do
    browser
    |> Browser.load("/draft")
    |> Page.connect()
    |> Page.save(%{"count" => 3, "draft" => "Dear"})
    |> Page.disconnect()

    page = Browser.load(browser, "/draft")
    assert %{"mounted" => "recovered", "count" => "3", "draft" => ""} = Page.shown(page)

    assert %{"mounted" => "recovered", "count" => "3", "draft" => ""} =
             page |> Page.connect() |> Page.shown()
  end

  test "a LiveView that crashed comes back with what it had stashed", %{browser: browser} do
    page = browser |> Browser.load("/draft") |> Page.connect()

    page
    |> Page.stash(%{"count" => 1, "draft" => "Dear"})
    |> Page.send_event("change", %{"count" => 2})
    |> Page.crash()

    page = Page.connect(page)
    assert %{"mounted" => "recovered", "count" => "1", "draft" => "Dear"} = Page.shown(page)

    page |> Page.stash(%{"count" => 3}) |> Page.crash()
    assert %{"count" => "3", "draft" => "Dear"} = page |> Page.connect() |> Page.shown()
  end

  test "a LiveView that was killed in the middle of a write comes back with it", %{
    browser: browser,
    store: store
  } do
    page = browser |> Browser.load("/draft") |> Page.connect()
    TestBackend.stall_puts(store, 1)
    Page.stash(page, %{"count" => 1, "draft" => "Dear"})
    Process.exit(page.view, :kill)

    page = Page.connect(page)
    assert %{"mounted" => "recovered", "count" => "1", "draft" => "Dear"} = Page.shown(page)

    TestBackend.release(store)
    Page.send_event(page, "flush")
    assert %{"count" => "1", "draft" => "Dear"} = page |> Page.connect() |> Page.shown()
  end

  test "a page rejoins any number of times", %{browser: browser} do
    page = browser |> Browser.load("/draft") |> Page.connect()

    for n <- 1..20, reduce: page do
      page ->
        page |> Page.stash(%{"count" => n, "draft" => "draft #{n}"}) |> Page.disconnect()
        page = Page.connect(page)
        expected = %{"count" => "#{n}", "draft" => "draft #{n}"}
        assert ^expected = page |> Page.shown() |> Map.take(["count", "draft"])
        page
    end
  end

  test "live navigation keeps what is the session's and starts an empty tab", %{browser: browser} do
    page =
      browser
      |> Browser.load("/draft")
      |> Page.connect()
      |> Page.stash(%{"count" => 1, "draft" => "Dear"})

    page = Page.navigate(page, "/draft")
    assert %{"mounted" => "recovered", "count" => "1", "draft" => ""} = Page.shown(page)
    page |> Page.stash(%{"count" => 2}) |> Page.disconnect()

    assert %{"count" => "2", "draft" => ""} = page |> Page.connect() |> Page.shown()
  end

  test "views of one page keep to themselves", %{browser: browser} do
    page =
      browser
      |> Browser.load("/draft")
      |> Page.connect()
      |> Page.stash(%{"count" => 1, "draft" => "Dear"})

    other = Page.navigate(page, "/other")
    assert %{"mounted" => "not_found", "count" => "0", "draft" => ""} = Page.shown(other)
    other |> Page.stash(%{"count" => 9, "draft" => "Sir"}) |> Page.disconnect()
    assert %{"count" => "9", "draft" => "Sir"} = other |> Page.connect() |> Page.shown()

    assert %{"count" => "1"} = browser |> Browser.load("/draft") |> Page.connect() |> Page.shown()
  end

  test "auto_stash stashes after each render what events only assign", %{browser: browser} do
    page = browser |> Browser.load("/auto") |> Page.connect()
    page |> Page.send_event("change", %{"count" => 1, "draft" => "Dear"}) |> Page.crash()

    page = Page.connect(page)
    assert %{"mounted" => "recovered", "count" => "1", "draft" => "Dear"} = Page.shown(page)

    page |> Page.send_event("change", %{"draft" => "Dear Sir"}) |> Page.disconnect()
    assert %{"count" => "1", "draft" => "Dear Sir"} = page |> Page.connect() |> Page.shown()
  end

  test "auto_stash alone costs a visitor who changes nothing one write at most", %{
    browser: browser,
    store: store
  } do
    before = TestBackend.counts(store).puts

    page = browser |> Browser.load("/auto") |> Page.connect() |> Page.send_event("flush")
    for _render <- 1..5, do: Page.send_event(page, "change", %{"count" => 0})
    Page.send_event(page, "flush")

    assert TestBackend.counts(store).puts - before <= 1
  end

  test "after a reset nothing comes back, and the next stash counts again", %{browser: browser} do
    page = browser |> Browser.load("/draft") |> Page.connect()

    page
    |> Page.save(%{"count" => 1, "draft" => "Dear"})
    |> Page.send_event("reset")
    |> Page.disconnect()

    page = Page.connect(page)
    assert %{"mounted" => "not_found", "count" => "0", "draft" => ""} = Page.shown(page)

    page |> Page.stash(%{"count" => 2}) |> Page.disconnect()
    assert %{"mounted" => "recovered", "count" => "2"} = page |> Page.connect() |> Page.shown()
  end

  test "a stash that follows a reset stores every assign, changed or not", %{browser: browser} do
    page =
      browser
      |> Browser.load("/draft")
      |> Page.connect()
      |> Page.save(%{"count" => 1, "draft" => "Dear"})

    page |> Page.send_event("reset") |> Page.stash(%{}) |> Page.disconnect()

    assert %{"mounted" => "recovered", "count" => "1", "draft" => "Dear"} =
             page |> Page.connect() |> Page.shown()
  end

  test "durability: :await returns from a stash when it is saved", %{
    browser: browser,
    store: store,
    engine: engine
  } do
    page =
      browser
      |> Browser.load("/await")
      |> Page.connect()
      |> Page.stash(%{"count" => 1, "draft" => "Dear"})

    assert [tab] = Map.values(slice(store, SomeAppWeb.AwaitLive)["tabs"])
    assert %{"count" => 1} = slice(store, SomeAppWeb.AwaitLive)["data"]
    assert %{"draft" => "Dear"} = tab["data"]

    restart_engine(engine)
    assert %{"count" => "1", "draft" => "Dear"} = page |> Page.connect() |> Page.shown()
  end

  test "a value of many kilobytes comes back equal", %{browser: browser} do
    draft =
      for n <- 1..5_000, do: %{"n" => n, "half" => n / 2, "text" => "ünïcödé", "none" => nil}

    page = browser |> Browser.load("/draft") |> Page.connect() |> Page.save(%{"draft" => draft})

    page = Page.connect(page)
    assert :sys.get_state(page.view).socket.assigns.draft === draft
  end

  test "after a logout nothing comes back", %{browser: browser, engine: engine} do
    page = browser |> Browser.load("/draft") |> Page.connect()
    page |> Page.save(%{"count" => 1, "draft" => "Dear"}) |> Page.disconnect()

    conn = Browser.get(browser, "/draft")
    assert DurableStash.forget(conn, engine: engine) == :ok

    assert %{"mounted" => "not_found", "count" => "0", "draft" => ""} =
             page |> Page.connect() |> Page.shown()
  end

  test "what is logged of a LiveView that crashed does not tell the session's id", context do
    page =
      context.browser |> Browser.load("/draft") |> Page.connect() |> Page.save(%{"count" => 1})

    log =
      capture_log(fn ->
        monitor = Process.monitor(page.view)
        Page.crash(page)
        assert_receive {:DOWN, ^monitor, :process, _view, _reason}
      end)

    assert log =~ "the view is broken"
    refute log =~ page.session["sid"]
    refute log =~ page.memory["stashId"]
  end

  test "a visitor who never stashes leaves nothing in the store", %{
    browser: browser,
    store: store
  } do
    before = TestBackend.counts(store)

    page = browser |> Browser.load("/draft") |> Page.connect()
    page |> Page.send_event("change", %{"count" => 1}) |> Page.disconnect()

    assert TestBackend.counts(store).puts == before.puts
  end

  test "the request that mints the session id does not ask the store", %{
    browser: browser,
    store: store
  } do
    before = TestBackend.counts(store)

    assert %{"mounted" => "not_found"} = browser |> Browser.load("/draft") |> Page.shown()
    assert TestBackend.counts(store).gets == before.gets
  end

  test "without the plug a page works and stashes nothing", %{browser: browser, store: store} do
    before = TestBackend.counts(store)

    page = browser |> Browser.load("/without_session_id/draft") |> Page.connect()
    page |> Page.stash(%{"count" => 1}) |> Page.send_event("reset") |> Page.send_event("flush")
    assert %{"mounted" => "error", "count" => "1", "flushed" => "refused"} = Page.shown(page)

    assert %{"mounted" => "error", "count" => "0"} = page |> Page.connect() |> Page.shown()
    assert TestBackend.counts(store) == before
  end
end
