Code.require_file("support/live_view_case.exs", __DIR__)

defmodule DurableStash.LiveView.NavigationTest do
  # After a callback that navigates or redirects LiveView renders no more, and auto_stash has nothing to run after.
  use DurableStash.LiveViewCase

  setup %{browser: browser} do
    %{page: browser |> Browser.load("/auto") |> Page.connect()}
  end

  test "auto_stash alone loses what a callback changed before it navigated", %{page: page} do
    page = page |> leave("LiveView.push_navigate") |> Page.follow("/auto")
    assert %{"count" => "0"} = Page.shown(page)
  end

  test "DurableStash.push_navigate/2 saves it", %{page: page} do
    page = page |> leave("DurableStash.push_navigate") |> Page.follow("/auto")
    assert %{"mounted" => "recovered", "count" => "5"} = Page.shown(page)
  end

  test "DurableStash.redirect/2 saves it", %{page: page, browser: browser} do
    leave(page, "DurableStash.redirect")
    assert %{"mounted" => "recovered", "count" => "5"} = browser |> Browser.load("/auto") |> Page.shown()
  end

  test "a patch is followed by a render, so auto_stash saves it", %{page: page, browser: browser} do
    page = leave(page, "LiveView.push_patch")
    assert %{"count" => "5"} = Page.shown(page)
    assert %{"mounted" => "recovered", "count" => "5"} = browser |> Browser.load("/auto") |> Page.shown()
  end

  defp leave(page, how), do: Page.send_event(page, "leave", %{"count" => 5, "by" => how})
end
