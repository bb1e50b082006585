Code.require_file("support/live_view_case.exs", __DIR__)

defmodule DurableStash.LiveView.NestedTest do
  use DurableStash.LiveViewCase

  setup %{browser: browser} do
    page = browser |> Browser.load("/around") |> Page.connect()
    %{page: page, chat: Page.nested(page, "chat")}
  end

  test "it gets its own back when the page rejoins", %{page: page, chat: chat} do
    Page.stash(chat, %{"size" => 3, "text" => "Hel"})
    again = page |> Page.connect() |> Page.nested("chat")
    assert %{"size" => "3", "text" => "Hel"} = Page.shown(again)
  end

  test "a fresh page gets the session's at its dead render, and a blank draft", context do
    %{page: page, chat: chat, browser: browser} = context
    Page.stash(chat, %{"size" => 3, "text" => "Hel"})
    fresh = Browser.load(browser, "/around")
    assert %{"size" => "3", "text" => ""} = Page.shown(fresh)

    other = fresh |> Page.connect() |> Page.nested("chat")
    assert %{"size" => "3", "text" => ""} = Page.shown(other)
    Page.stash(other, %{"text" => "Mine"})
    assert %{"text" => "Hel"} = page |> Page.connect() |> Page.nested("chat") |> Page.shown()
  end

  test "it leaves the page's nonce alone", %{page: page, chat: chat} do
    assert chat.pushed == []
    assert Page.nonce(page) == page.memory["stashId"]
  end

  test "it hears of what other LiveViews of the session share", %{page: page, chat: chat} do
    Page.send_event(page, "theme", %{"theme" => "dark"})
    await(fn -> Page.shown(chat)["theme"] == "dark" end)
    Page.stash(chat, %{"theme" => "blue"})
    await(fn -> Page.shown(page)["theme"] == "blue" end)
  end

  test "in a LiveView without a stash its :reconnect keys are refused at the first request", %{browser: browser} do
    # What another page has left in this process does not count for this one's browser.
    Process.delete(:durable_stash_hosts)

    assert_raise ArgumentError, ~r/SomeAppWeb.ChatLive is nested in a LiveView without a stash/, fn ->
      Browser.load(browser, "/bare")
    end
  end
end
