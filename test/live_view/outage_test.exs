Code.require_file("support/live_view_case.exs", __DIR__)

defmodule DurableStash.LiveView.OutageTest do
  use DurableStash.LiveViewCase

  @many 1_000
  # The store is not there to be waited for when a test is over, either.
  @impatient [recover_timeout: 100, shutdown_timeout: 100]

  describe "while the store does not answer" do
    @describetag engine: @impatient

    setup %{browser: browser, engine: engine, store: store} do
      page =
        browser
        |> Browser.load("/draft")
        |> Page.connect()
        |> Page.save(%{"count" => 1, "draft" => "Dear"})

      Page.disconnect(page)
      # A new node: nothing of the session is in memory.
      restart_engine(engine, @impatient)
      TestBackend.stall_gets(store, @many)
      %{page: page}
    end

    test "a mount is told of the error in time, and the page works", %{page: page, store: store} do
      {microseconds, page} = :timer.tc(fn -> Page.connect(page) end)
      assert microseconds < 2_000_000
      assert %{"mounted" => "error", "count" => "0", "draft" => ""} = Page.shown(page)

      page = Page.stash(page, %{"count" => 2})
      assert %{"count" => "2"} = Page.shown(page)
      TestBackend.release(store)
    end

    test "a dead render is told of the error in time", %{browser: browser} do
      assert %{"mounted" => "error", "count" => "0"} =
               browser |> Browser.load("/draft") |> Page.shown()
    end

    test "a stash is kept until it does", %{page: page, store: store} do
      page = page |> Page.connect() |> Page.stash(%{"theme" => "dark"})
      TestBackend.release(store)
      Page.send_event(page, "flush")
      assert %{"flushed" => "saved"} = Page.shown(page)

      assert %{"mounted" => "recovered", "theme" => "dark"} =
               page |> Page.connect() |> Page.shown()
    end

    test "a view may ask again later", %{page: page, store: store} do
      page = page |> Page.connect() |> Page.send_event("recover")
      assert %{"mounted" => "error", "count" => "0"} = Page.shown(page)
      TestBackend.release(store)

      assert %{"mounted" => "recovered", "count" => "1", "draft" => "Dear"} =
               page |> Page.send_event("recover") |> Page.shown()
    end

    test "no reply that comes late reaches the process of the dead render", %{
      browser: browser,
      store: store
    } do
      assert %{"mounted" => "error"} = browser |> Browser.load("/draft") |> Page.shown()
      TestBackend.release(store)

      await(fn ->
        browser |> Browser.load("/draft") |> Page.shown() |> Map.fetch!("mounted") == "recovered"
      end)

      refute_receive {:durable_stash, _id, _reply}, 100
    end

    test "no reply that comes late reaches a LiveView", %{page: page, store: store} do
      page = Page.connect(page)
      :erlang.trace(page.view, true, [:receive])
      TestBackend.release(store)
      rejoined = Page.connect(page)
      assert %{"mounted" => "recovered", "count" => "1"} = Page.shown(rejoined)

      refute_receive {:trace, _view, :receive, {:durable_stash, _id, _reply}}, 100
    end
  end

  test "a mount gives a reply no time to come late, whatever the race", %{
    browser: browser,
    engine: engine,
    store: store
  } do
    browser
    |> Browser.load("/draft")
    |> Page.connect()
    |> Page.save(%{"count" => 1})
    |> Page.disconnect()

    # The store takes about as long as a mount waits.
    restart_engine(engine, recover_timeout: 5)
    TestBackend.latency(store, 5)

    for _mount <- 1..50 do
      assert %{"mounted" => mounted} = browser |> Browser.load("/draft") |> Page.shown()
      assert mounted in ["recovered", "error"]
    end

    refute_receive {:durable_stash, _id, _reply}, 100
  end

  test "while the store fails its reads a mount is told of the error", %{
    browser: browser,
    engine: engine,
    store: store
  } do
    page = browser |> Browser.load("/draft") |> Page.connect() |> Page.save(%{"count" => 1})
    restart_engine(engine, @impatient)
    TestBackend.fail_gets(store, @many)
    assert %{"mounted" => "error", "count" => "0"} = page |> Page.connect() |> Page.shown()
  end

  test "what this node has seen answers a rejoin while the store does not", %{
    browser: browser,
    engine: engine,
    store: store
  } do
    restart_engine(engine, @impatient)

    page =
      browser
      |> Browser.load("/draft")
      |> Page.connect()
      |> Page.save(%{"count" => 1, "draft" => "Dear"})

    TestBackend.stall_gets(store, @many)

    observe(engine, [[:durable_stash, :recover, :stop]])

    assert %{"mounted" => "recovered", "count" => "1", "draft" => "Dear"} =
             page |> Page.connect() |> Page.shown()

    assert_receive {:telemetry, [:durable_stash, :recover, :stop], _measurements, %{stale?: true, mount: :rejoin}}
  end

  test "a store that comes back gets what was stashed meanwhile", %{
    browser: browser,
    engine: engine,
    store: store
  } do
    page = browser |> Browser.load("/draft") |> Page.connect() |> Page.save(%{"count" => 1})
    TestBackend.fail_puts(store, 5)

    page
    |> Page.stash(%{"count" => 2})
    |> Page.stash(%{"draft" => "Dear"})
    |> Page.send_event("flush")

    assert %{"flushed" => "saved"} = Page.shown(page)

    restart_engine(engine)
    assert %{"count" => "2", "draft" => "Dear"} = page |> Page.connect() |> Page.shown()
  end

  @tag engine: false
  test "without an engine a page works, and is stashed once there is one", %{
    browser: browser,
    engine: engine
  } do
    page = Browser.load(browser, "/draft")
    assert %{"mounted" => "not_found"} = Page.shown(page)
    page = Page.connect(page)
    assert %{"mounted" => "error", "count" => "0"} = Page.shown(page)
    page |> Page.stash(%{"count" => 1, "draft" => "Dear"}) |> Page.send_event("flush")
    assert %{"flushed" => "engine_down"} = Page.shown(page)

    start_engine(engine)
    Page.save(page, %{"count" => 2})

    assert %{"mounted" => "recovered", "count" => "2", "draft" => "Dear"} =
             page |> Page.connect() |> Page.shown()
  end
end
