Code.require_file("support/live_view_case.exs", __DIR__)

defmodule DurableStash.LiveView.ComponentTest do
  use DurableStash.LiveViewCase

  # The components "a" and "b", in the order in which they are rendered.
  @a 1
  @b 2

  setup %{browser: browser} do
    %{page: browser |> Browser.load("/around") |> Page.connect()}
  end

  defp stash(page, component, changes), do: Page.send_component_event(page, component, "stash", changes)

  test "each gets its own back when the page rejoins", %{page: page} do
    page |> stash(@a, %{"size" => 1, "text" => "Dear A"}) |> stash(@b, %{"size" => 2, "text" => "Dear B"})

    assert %{"size-a" => "1", "text-a" => "Dear A", "size-b" => "2", "text-b" => "Dear B"} =
             page |> Page.connect() |> Page.shown()
  end

  test "a fresh page gets the session's at its dead render, and blank drafts", %{page: page, browser: browser} do
    stash(page, @a, %{"size" => 1, "text" => "Dear A"})
    fresh = Browser.load(browser, "/around")
    assert %{"size-a" => "1", "text-a" => ""} = Page.shown(fresh)
    fresh = Page.connect(fresh)
    assert %{"size-a" => "1", "text-a" => ""} = Page.shown(fresh)

    stash(fresh, @a, %{"text" => "Mine"})
    assert %{"text-a" => "Dear A"} = page |> Page.connect() |> Page.shown()
  end

  test "one that is taken out of the page and put in again has its draft", %{page: page} do
    stash(page, @a, %{"size" => 1, "text" => "Dear A"})
    page |> Page.send_event("show", %{"ids" => ["b"]}) |> Page.send_event("show", %{"ids" => ["a", "b"]})
    assert %{"size-a" => "1", "text-a" => "Dear A"} = Page.shown(page)
  end

  test "one that comes to the page late gets its own back, once it is shown again", %{page: page} do
    page = Page.send_event(page, "show", %{"ids" => ["a", "b", "late"]})
    stash(page, 3, %{"text" => "Better late"})

    rejoined = Page.connect(page)
    rejoined = Page.send_event(rejoined, "show", %{"ids" => ["a", "b", "late"]})
    assert %{"text-late" => "Better late"} = Page.shown(rejoined)
  end

  test "one that comes late to a fresh page under an id seen before is blank, and stays so", %{browser: browser} do
    all = %{"ids" => ["a", "b", "late"]}
    page = browser |> Browser.load("/around", script: false) |> Page.connect() |> Page.send_event("show", all)
    stash(page, 3, %{"size" => 1, "text" => "of the page before"})

    page = page |> Page.navigate("/around") |> Page.send_event("show", all)
    assert %{"size-late" => "1", "text-late" => ""} = Page.shown(page)
    page = page |> Page.connect() |> Page.send_event("show", all)
    assert %{"size-late" => "1", "text-late" => ""} = Page.shown(page)
  end

  test "that of a superseded LiveView changes nothing any more", %{page: zombie} do
    stash(zombie, @a, %{"text" => "old"})
    page = Page.connect(zombie)
    stash(page, @a, %{"text" => "new"})
    stash(zombie, @a, %{"text" => "undead"})
    stash(zombie, @b, %{"text" => "undead"})
    assert %{"text-a" => "new", "text-b" => ""} = page |> Page.connect() |> Page.shown()
  end

  test "its state survives a crash and a new engine", %{page: page, engine: engine} do
    page = page |> stash(@a, %{"text" => "before"}) |> Page.crash()
    restart_engine(engine)
    assert %{"text-a" => "before"} = page |> Page.connect() |> Page.shown()
  end

  test "a LiveView without a stash is told so at the first request", %{browser: browser} do
    assert_raise ArgumentError,
                 ~r/NoteComponent stashes, but SomeAppWeb.BareComponentLive around it has no stash/,
                 fn ->
                   Browser.load(browser, "/bare_component")
                 end
  end
end
