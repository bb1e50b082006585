# Templates are compiled by LiveView: without its `~H` there is nothing to make this module of.
if Code.ensure_loaded?(Phoenix.Component) and macro_exported?(Phoenix.Component, :sigil_H, 2) do
  defmodule DurableStash.Components do
    @moduledoc """
    Function components.

        import DurableStash.Components
    """

    use Phoenix.Component

    @doc """
    Says whether what the visitor entered is saved, to be read and to be heard.

    Give it the assign that the view names in `status:`.

        use LiveStash, adapter: DurableStash, stored_keys: [draft: :reconnect], status: :stash_status

        <DurableStash.Components.status status={@stash_status} />

    A write that takes less than 200 ms is not shown. "Saving…" appears for one that takes longer, and "Not saved" for one that
    failed, that was not accepted, or that the store has not taken for five seconds; it becomes "Saved" when the write lands.

    While the page is not connected nobody can tell: LiveView marks it with the class `phx-error` then, for a style such as
    `.phx-error [role=status] { visibility: hidden }`.

    A screen reader says each change when it has nothing else to say (`role="status"`). The attribute `data-status` is there
    for styles: `[data-status=unsaved] { color: darkred }`.

    Other words, other languages, icons:

        <DurableStash.Components.status status={@stash_status} class="text-sm">
          <:saved>{gettext("All changes saved")}</:saved>
          <:unsaved><.icon name="hero-exclamation-triangle" /> {gettext("Not saved yet")}</:unsaved>
        </DurableStash.Components.status>
    """
    attr(:status, :atom, required: true, values: [:saved, :saving, :unsaved], doc: "the assign of `status:`")
    attr(:class, :any, default: "durable-stash-status", doc: "as of any element")
    attr(:rest, :global, doc: "any other attribute, such as `id`")
    slot(:saved, doc: "instead of the text *Saved*")
    slot(:saving, doc: "instead of the text *Saving…*")
    slot(:unsaved, doc: "instead of the text *Not saved*")

    def status(assigns) do
      ~H"""
      <span role="status" aria-live="polite" aria-atomic="true" class={@class} data-status={@status} {@rest}>
        <%= case @status do %>
          <% :saved -> %>
            {if @saved == [], do: "Saved", else: render_slot(@saved)}
          <% :saving -> %>
            {if @saving == [], do: "Saving…", else: render_slot(@saving)}
          <% :unsaved -> %>
            {if @unsaved == [], do: "Not saved", else: render_slot(@unsaved)}
        <% end %>
      </span>
      """
    end
  end
end
