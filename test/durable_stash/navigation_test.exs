defmodule DurableStash.NavigationTest do
  # LiveView renders no more once a callback has navigated, so what auto_stash waits for does not come.
  use DurableStash.Case, async: true

  alias Phoenix.Component
  alias Phoenix.LiveView

  for name <- [:push_navigate, :redirect], auto_stash <- [true, false] do
    test "#{name}/2 saves the callback's last change, with auto_stash: #{auto_stash}", %{engine: engine} do
      leave = &apply(DurableStash, unquote(name), [&1, [to: "/next"]])
      assert %{count: 5} = left(engine, unquote(auto_stash), leave)
    end
  end

  test "auto_stash alone loses it", %{engine: engine} do
    assert %{count: 0} = left(engine, true, &LiveView.push_navigate(&1, to: "/next"))
  end

  test "they navigate as LiveView's own do", %{engine: engine} do
    {lv, _page} = Page.mount(Page.open(Page.session()), counter(engine, false))

    redirected = fn leave -> LiveViewProcess.run(lv, &{leave.(&1).redirected, &1}) end

    assert redirected.(&DurableStash.push_navigate(&1, to: "/next", replace: true)) ==
             redirected.(&LiveView.push_navigate(&1, to: "/next", replace: true))

    assert redirected.(&DurableStash.redirect(&1, to: "/next")) == redirected.(&LiveView.redirect(&1, to: "/next"))
  end

  test "a socket without a stash is told so" do
    assert_raise ArgumentError, ~r/this socket has no stash/, fn ->
      DurableStash.push_navigate(%LiveView.Socket{}, to: "/next")
    end
  end

  # What a page has that follows one whose last callback counted to 5 and left.
  defp left(engine, auto_stash, leave) do
    view = counter(engine, auto_stash)
    {lv, page} = Page.mount(Page.open(Page.session()), view)
    LiveViewProcess.run(lv, &{:ok, &1 |> Component.assign(count: 5) |> leave.()})
    LiveViewProcess.close(lv)
    {next, _page} = Page.mount(Page.navigate(page), view)
    LiveViewProcess.assigns(next)
  end

  defp counter(engine, auto_stash),
    do: view(engine, [stored_keys: [:count], auto_stash: auto_stash], assigns: [count: 0])
end
