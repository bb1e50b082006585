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

    While a write is on its way nothing is claimed: for the first 200 ms (`:pending`) the place is empty, and then it says "Saving…". "Not
    saved" is for a write that failed, that was not accepted, or that the store has not taken for five seconds. It becomes "Saved"
    when the write lands.

    The empty place is as large as "Saved" is, so nothing moves: that text is there, unseen (`opacity: 0`), and the region is marked as
    busy. With a Content-Security-Policy that forbids inline styles put `[data-status=pending] { opacity: 0 }` into the style sheet.

    While the page is not connected nobody can tell: LiveView marks it with the class `phx-error` then, for a style such as
    `.phx-error [role=status] { visibility: hidden }`.

    A screen reader says each change of the text when it has nothing else to say (`role="status"`), so nothing for a write that takes less
    than 200 ms. The attribute `data-status` is there for styles: `[data-status=unsaved] { color: darkred }`.

    Other words, other languages, icons:

        <DurableStash.Components.status status={@stash_status} class="text-sm">
          <:saved>{gettext("All changes saved")}</:saved>
          <:unsaved><.icon name="hero-exclamation-triangle" /> {gettext("Not saved yet")}</:unsaved>
        </DurableStash.Components.status>
    """
    attr(:status, :atom, required: true, values: [:saved, :pending, :saving, :unsaved], doc: "the assign of `status:`")
    attr(:class, :any, default: "durable-stash-status", doc: "as of any element")
    attr(:rest, :global, doc: "any other attribute, such as `id`")
    slot(:saved, doc: "instead of the text *Saved*")
    slot(:saving, doc: "instead of the text *Saving…*")
    slot(:unsaved, doc: "instead of the text *Not saved*")

    def status(assigns) do
      ~H"""
      <span
        role="status"
        aria-live="polite"
        aria-atomic="true"
        aria-busy={to_string(@status == :pending)}
        class={@class}
        data-status={@status}
        {@rest}
      >
        <%= case @status do %>
          <% saved when saved in [:saved, :pending] -> %>
            <span {look(@status)}>{if @saved == [], do: "Saved", else: render_slot(@saved)}</span>
          <% :saving -> %>
            {if @saving == [], do: "Saving…", else: render_slot(@saving)}
          <% :unsaved -> %>
            {if @unsaved == [], do: "Not saved", else: render_slot(@unsaved)}
        <% end %>
      </span>
      """
    end

    defp look(:pending), do: %{style: "opacity: 0"}
    defp look(_told), do: %{}
  end
end
