Code.require_file("support/live_view_case.exs", __DIR__)

defmodule DurableStash.LiveView.FenceTest do
  # A connection that is half open leaves a LiveView behind, which lives on beside its successor.
  use DurableStash.LiveViewCase

  setup %{browser: browser} do
    SomeAppWeb.release(vsn: 1)

    %{
      zombie:
        browser
        |> Browser.load("/draft")
        |> Page.connect()
        |> Page.save(%{"count" => 1, "draft" => "old"})
    }
  end

  test "a zombie's write after the rejoin is refused", %{zombie: zombie} do
    page = Page.connect(zombie)
    assert page.view != zombie.view

    send(zombie.view, {:stash, %{"count" => 100, "draft" => "undead"}})
    zombie = Page.send_event(zombie, "flush")
    assert %{"count" => "100", "flushed" => "superseded"} = Page.shown(zombie)

    assert %{"count" => "1", "draft" => "old"} = page |> Page.connect() |> Page.shown()
  end

  test "a zombie neither holds up nor changes what its successor stashes", %{zombie: zombie} do
    page = Page.connect(zombie)
    send(zombie.view, {:stash, %{"count" => 100, "draft" => "undead"}})
    Page.save(page, %{"count" => 2, "draft" => "new"})
    send(zombie.view, {:stash, %{"theme" => "undead"}})
    Page.send_event(zombie, "flush")

    assert %{"count" => "2", "theme" => "light", "draft" => "new"} =
             page |> Page.connect() |> Page.shown()
  end

  test "a zombie's reset after the rejoin is refused", %{zombie: zombie} do
    page = zombie |> Page.connect() |> Page.save(%{"draft" => "new"})
    Page.send_event(zombie, "reset")

    assert %{"mounted" => "recovered", "count" => "1", "draft" => "new"} =
             page |> Page.connect() |> Page.shown()
  end

  test "what a zombie wrote before the rejoin came is the rejoin's", %{zombie: zombie} do
    Page.stash(zombie, %{"count" => 5, "draft" => "just before"})
    assert %{"count" => "5", "draft" => "just before"} = zombie |> Page.connect() |> Page.shown()
  end

  test "a zombie stays refused over the restart of the engine", %{zombie: zombie, engine: engine} do
    page = zombie |> Page.connect() |> Page.save(%{"draft" => "new"})
    restart_engine(engine)
    page = Page.connect(page)

    send(zombie.view, {:stash, %{"count" => 100, "draft" => "undead"}})
    Page.send_event(zombie, "flush")

    assert %{"count" => "1", "draft" => "new"} = page |> Page.connect() |> Page.shown()
  end

  test "a zombie is refused though the engine restarted before the rejoin", context do
    %{zombie: zombie, engine: engine} = context
    restart_engine(engine)
    page = zombie |> Page.connect() |> Page.save(%{"draft" => "new"})

    zombie = zombie |> Page.stash(%{"count" => 100, "draft" => "undead"}) |> Page.send_event("flush")
    assert %{"flushed" => "superseded"} = Page.shown(zombie)
    Page.save(page, %{"theme" => "dark"})

    assert %{"count" => "1", "theme" => "dark", "draft" => "new"} =
             page |> Page.connect() |> Page.shown()
  end

  test "a zombie on another node is refused once its successor has written", context do
    %{browser: browser, store: store} = context
    other_node = SomeApp.OtherNode
    start_engine(other_node, backend: {TestBackend, name: store})
    zombie = browser |> Browser.load("/versioned") |> Page.connect()
    Page.save(zombie, %{"count" => 1, "draft" => "old"})

    SomeAppWeb.release(vsn: 1, engine: other_node)
    page = zombie |> Page.connect() |> Page.save(%{"draft" => "new"})

    zombie = zombie |> Page.stash(%{"draft" => "undead"}) |> Page.send_event("flush")
    assert %{"flushed" => "superseded"} = Page.shown(zombie)
    assert %{"count" => "1", "draft" => "new"} = page |> Page.connect() |> Page.shown()
  end

  test "another tab is no zombie", %{zombie: page, browser: browser} do
    other = browser |> Browser.load("/draft") |> Page.connect()
    _rejoined = Page.connect(page)

    Page.save(other, %{"count" => 7, "draft" => "other"})
    assert %{"count" => "7", "draft" => "other"} = other |> Page.connect() |> Page.shown()
  end

  test "the LiveView that live navigation leaves behind changes nothing any more", %{zombie: page} do
    navigated = Page.navigate(page, "/draft")
    refute Process.alive?(page.view)
    assert %{"count" => "1", "draft" => ""} = navigated |> Page.connect() |> Page.shown()
  end
end
