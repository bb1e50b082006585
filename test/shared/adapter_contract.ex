defmodule DurableStash.AdapterContract do
  @moduledoc """
  What a LiveView may expect of a LiveStash adapter, whichever it is.

      use DurableStash.AdapterContract, stash: &__MODULE__.stash/1

  `stash` makes the options of `use LiveStash` from the test's context and the stored keys. The suite stays within what
  every adapter promises: a page with the client script that loses its connection and comes back.
  """

  defmacro __using__(options) do
    quote bind_quoted: [options: options] do
      alias DurableStash.LiveViewProcess
      alias DurableStash.Page
      alias Phoenix.LiveView.Socket

      @stash options[:stash]

      defp contract_view(context, keys, options \\ []) do
        [stash: @stash.(context, keys), view: __MODULE__.SomeLive] ++ options
      end

      describe "a LiveStash adapter" do
        test "has nothing for a page that was just loaded", context do
          view = contract_view(context, [:count], assigns: [count: 0])
          {lv, _page} = Page.mount(Page.open(Page.session()), view)
          assert LiveViewProcess.recovered(lv) in [:new, :not_found]
          assert %{count: 0} = LiveViewProcess.assigns(lv)
        end

        test "brings back what was stashed when the page rejoins", context do
          view =
            contract_view(context, [:count, :items], assigns: [count: 0, items: [], other: "kept"])

          {lv, page} = Page.mount(Page.open(Page.session()), view)
          LiveViewProcess.stash(lv, count: 7, items: ["a", "b"], other: "changed")
          LiveViewProcess.close(lv)

          {rejoined, _page} = Page.mount(page, view)
          assert LiveViewProcess.recovered(rejoined) == :recovered
          assert %{count: 7, items: ["a", "b"], other: "kept"} = LiveViewProcess.assigns(rejoined)
        end

        test "stashes again what changed after a rejoin", context do
          view = contract_view(context, [:count], assigns: [count: 0])
          {first, page} = Page.mount(Page.open(Page.session()), view)
          LiveViewProcess.stash(first, count: 1)
          LiveViewProcess.close(first)
          {second, page} = Page.mount(page, view)
          LiveViewProcess.stash(second, count: 2)
          LiveViewProcess.close(second)

          {third, _page} = Page.mount(page, view)
          assert LiveViewProcess.recovered(third) == :recovered
          assert %{count: 2} = LiveViewProcess.assigns(third)
        end

        test "leaves out keys that are not assigned", context do
          view = contract_view(context, [:count, :never_assigned], assigns: [count: 0])
          {lv, page} = Page.mount(Page.open(Page.session()), view)
          LiveViewProcess.stash(lv, count: 1)
          LiveViewProcess.close(lv)

          {rejoined, _page} = Page.mount(page, view)
          assert %{count: 1} = assigns = LiveViewProcess.assigns(rejoined)
          refute Map.has_key?(assigns, :never_assigned)
        end

        test "has nothing after a reset, and stashes anew", context do
          view = contract_view(context, [:count], assigns: [count: 0])
          {lv, page} = Page.mount(Page.open(Page.session()), view)
          LiveViewProcess.stash(lv, count: 1)
          LiveViewProcess.reset(lv)
          LiveViewProcess.close(lv)

          {rejoined, page} = Page.mount(page, view)
          assert LiveViewProcess.recovered(rejoined) == :not_found
          assert %{count: 0} = LiveViewProcess.assigns(rejoined)
          LiveViewProcess.stash(rejoined, count: 3)
          LiveViewProcess.close(rejoined)

          {again, _page} = Page.mount(page, view)
          assert %{count: 3} = LiveViewProcess.assigns(again)
        end

        test "keeps pages of different browsers apart", context do
          view = contract_view(context, [:count], assigns: [count: 0])
          {one, one_page} = Page.mount(Page.open(Page.session()), view)
          {two, two_page} = Page.mount(Page.open(Page.session()), view)
          LiveViewProcess.stash(one, count: 1)
          LiveViewProcess.stash(two, count: 2)
          Enum.each([one, two], &LiveViewProcess.close/1)

          {one, _page} = Page.mount(one_page, view)
          {two, _page} = Page.mount(two_page, view)
          assert %{count: 1} = LiveViewProcess.assigns(one)
          assert %{count: 2} = LiveViewProcess.assigns(two)
        end

        test "returns a socket, stashing twice or nothing", context do
          view = contract_view(context, [:count], assigns: [count: 0])
          {lv, _page} = Page.mount(Page.open(Page.session()), view)
          assert %Socket{} = LiveViewProcess.run(lv, &{LiveStash.stash(&1), &1})
          assert %Socket{} = LiveViewProcess.run(lv, &{LiveStash.stash(LiveStash.stash(&1)), &1})

          assert %Socket{} =
                   LiveViewProcess.run(
                     lv,
                     &{LiveStash.reset_stash(LiveStash.reset_stash(&1)), &1}
                   )
        end
      end
    end
  end
end
