Code.require_file("support/live_view_case.exs", __DIR__)

defmodule DurableStash.LiveView.TabsTest do
  use DurableStash.LiveViewCase

  test "two tabs of a browser share the session's assigns and keep their drafts apart", %{
    browser: browser
  } do
    one = browser |> Browser.load("/draft") |> Page.connect()
    two = browser |> Browser.load("/draft") |> Page.connect()
    assert one.session == two.session
    assert one.id != two.id

    Page.save(one, %{"count" => 1, "draft" => "one"})
    Page.save(two, %{"count" => 2, "draft" => "two"})
    Enum.each([one, two], &Page.disconnect/1)

    assert %{"count" => "2", "draft" => "one"} = one |> Page.connect() |> Page.shown()
    assert %{"count" => "2", "draft" => "two"} = two |> Page.connect() |> Page.shown()
  end

  test "two tabs that open on an empty session keep what each has changed", %{browser: browser} do
    one = browser |> Browser.load("/draft") |> Page.connect()
    two = browser |> Browser.load("/draft") |> Page.connect()
    Page.save(one, %{"count" => 1})
    Page.save(two, %{"theme" => "blue"})

    assert %{"count" => "1", "theme" => "blue"} = one |> Page.connect() |> Page.shown()
  end

  test "an edit of one tab does not bring back what the other one changed since", %{
    browser: browser
  } do
    one =
      browser
      |> Browser.load("/draft")
      |> Page.connect()
      |> Page.save(%{"count" => 1, "theme" => "dark"})

    two = browser |> Browser.load("/draft") |> Page.connect() |> Page.save(%{"count" => 2})
    Page.save(one, %{"theme" => "blue"})

    assert %{"count" => "2", "theme" => "blue"} = two |> Page.connect() |> Page.shown()
  end

  test "two browsers share nothing", %{browser: browser} do
    one =
      browser
      |> Browser.load("/draft")
      |> Page.connect()
      |> Page.save(%{"count" => 1, "draft" => "one"})

    other = Browser.start() |> Browser.load("/draft") |> Page.connect()
    assert %{"mounted" => "not_found", "count" => "0", "draft" => ""} = Page.shown(other)

    Page.save(other, %{"count" => 2, "draft" => "other"})
    assert %{"count" => "1", "draft" => "one"} = one |> Page.connect() |> Page.shown()
  end

  test "a fresh mount of a page with the client script is told a nonce that its rejoins echo", %{
    browser: browser
  } do
    page = browser |> Browser.load("/draft") |> Page.connect()
    nonce = Page.nonce(page)
    assert nonce =~ ~r/\A[A-Za-z0-9_-]{22}\z/
    assert page.memory == %{"stashId" => nonce}

    rejoined = Page.connect(page)
    assert Page.nonce(rejoined) == nil
    assert rejoined.memory == %{"stashId" => nonce}
  end

  test "each fresh mount is told a nonce of its own", %{browser: browser} do
    nonces =
      for _tab <- 1..3, do: browser |> Browser.load("/draft") |> Page.connect() |> Page.nonce()

    navigated =
      browser
      |> Browser.load("/draft")
      |> Page.connect()
      |> Page.navigate("/draft")
      |> Page.nonce()

    assert [navigated | nonces] == Enum.uniq([navigated | nonces])
  end

  test "a page without the client script is told nothing, and is known by its LiveView's id", %{
    browser: browser
  } do
    page = browser |> Browser.load("/draft", script: false) |> Page.connect()
    assert page.pushed == []
    page |> Page.save(%{"count" => 1, "draft" => "Dear"}) |> Page.disconnect()

    rejoined = Page.connect(page)
    assert rejoined.pushed == []
    assert %{"count" => "1", "draft" => "Dear"} = Page.shown(rejoined)
  end

  test "a duplicated tab starts with an empty draft and leaves the first one its own", %{
    browser: browser
  } do
    one =
      browser
      |> Browser.load("/draft")
      |> Page.connect()
      |> Page.save(%{"count" => 1, "draft" => "one"})

    two = one |> Page.duplicate() |> Page.connect()
    assert two.id == one.id
    assert %{"mounted" => "recovered", "count" => "1", "draft" => ""} = Page.shown(two)

    Page.save(two, %{"draft" => "two"})
    Page.save(one, %{"draft" => "one again"})
    assert %{"draft" => "one again"} = one |> Page.connect() |> Page.shown()
    assert %{"draft" => "two"} = two |> Page.connect() |> Page.shown()
  end

  test "a crawler with the browser's cookies leaves every draft alone, whatever it loads", %{browser: browser} do
    page = browser |> Browser.load("/auto") |> Page.connect() |> Page.save(%{"count" => 1, "draft" => "Dear"})

    for path <- ["/auto", "/draft", "/auto"], _time <- 1..3 do
      Browser.load(browser, path)
      browser |> Browser.load(path) |> Page.connect() |> Page.disconnect()
      browser |> Browser.load(path, script: false) |> Page.connect() |> Page.disconnect()
    end

    assert %{"count" => "1", "draft" => "Dear"} = page |> Page.connect() |> Page.shown()
  end

  test "the plug keeps pages out of the HTTP cache, where a duplicated tab would take its id from",
       %{browser: browser} do
    assert Plug.Conn.get_resp_header(Browser.get(browser, "/draft"), "cache-control") == [
             "no-store"
           ]
  end

  test "the session cookie gets the session id, and no mark of its minting", %{browser: browser} do
    page = Browser.load(browser, "/draft")
    assert %{"sid" => sid} = session = Browser.session(browser)
    assert byte_size(sid) == 22
    assert Map.keys(session) == ["sid"]
    assert page.session == session

    Browser.load(browser, "/draft")
    assert Browser.session(browser) == session
  end
end
