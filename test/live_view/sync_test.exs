Code.require_file("support/live_view_case.exs", __DIR__)

defmodule DurableStash.LiveView.SyncTest do
  use DurableStash.LiveViewCase

  setup %{browser: browser} do
    open = fn path -> browser |> Browser.load(path) |> Page.connect() end
    %{one: open.("/synced"), two: open.("/synced"), other: open.("/synced_other"), open: open}
  end

  defp await_shown(page, name, value), do: await(fn -> Page.shown(page)[name] == value end)

  test "two tabs agree without a reload, whichever view they show", %{one: one, two: two, other: other} do
    Page.stash(one, %{"theme" => "dark", "count" => 1})
    await_shown(two, "theme", "dark")
    await_shown(two, "count", "1")
    await_shown(other, "theme", "dark")
    assert %{"count" => "0"} = Page.shown(other)

    Page.stash(other, %{"theme" => "blue"})
    await_shown(one, "theme", "blue")
    await_shown(two, "theme", "blue")
  end

  test "a shared key is there for every view, and after a reload", %{one: one, open: open} do
    Page.save(one, %{"theme" => "dark"})
    assert %{"theme" => "dark", "mounted" => "recovered"} = Page.shown(open.("/synced_other"))
  end

  test "views that stash after each render come to rest", %{open: open, store: store} do
    pages = for _tab <- 1..2, do: open.("/synced_auto")
    [one, two] = pages
    Page.send_event(one, "change", %{"theme" => "dark"})
    await_shown(two, "theme", "dark")
    for page <- pages, do: Page.send_event(page, "flush")
    %{commits: commits} = TestBackend.counts(store)

    Page.send_event(one, "change", %{"theme" => "blue"})
    await_shown(two, "theme", "blue")
    for page <- pages, do: Page.send_event(page, "flush")
    assert %{commits: now} = TestBackend.counts(store)
    assert now == commits + 1
  end

  test "a tab that rejoins hears of changes again", %{one: one, two: two} do
    two = two |> Page.disconnect() |> Page.connect()
    Page.stash(one, %{"theme" => "dark"})
    await_shown(two, "theme", "dark")
  end

  test "another browser hears nothing", %{one: one, two: two} do
    stranger = Browser.start() |> Browser.load("/synced") |> Page.connect()
    Page.stash(one, %{"theme" => "dark"})
    await_shown(two, "theme", "dark")
    assert %{"theme" => "light"} = Page.shown(stranger)
  end
end
