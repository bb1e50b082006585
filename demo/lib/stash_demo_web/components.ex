defmodule StashDemoWeb.Components do
  @moduledoc """
  What both pages are made of.
  """

  use Phoenix.Component

  attr :here, :string, required: true, doc: "the path of this page"
  attr :status, :atom, required: true
  slot :tools, doc: "controls beside the status"
  slot :inner_block, required: true

  def frame(assigns) do
    ~H"""
    <div class="frame">
      <header class="bar">
        <p class="name">DurableStash</p>
        <nav aria-label="Pages">
          <.link :for={{path, title} <- [{"/", "Page"}, {"/pad", "Scratch pad"}]} navigate={path} aria-current={path == @here && "page"}>
            {title}
          </.link>
        </nav>
        {render_slot(@tools)}
        <.status status={@status} />
      </header>
      <main>
        {render_slot(@inner_block)}
      </main>
    </div>
    """
  end

  attr :status, :atom, required: true, values: [:saved, :saving, :unsaved]

  @doc """
  Whether what was done on this page is in the store. The words of the server are shown only while the page is connected to it,
  and while it has answered what the page sent last (demo.css).
  """
  def status(assigns) do
    ~H"""
    <p id="status" class="status" role="status" aria-live="polite" data-status={@status}>
      <span class="told">{words(@status)}</span>
      <span class="pending">Saving…</span>
      <span class="away">Not connected</span>
    </p>
    """
  end

  defp words(:saved), do: "Saved"
  defp words(:saving), do: "Saving…"
  defp words(:unsaved), do: "Not saved"

  attr :id, :string, required: true
  attr :term, :string, required: true
  attr :rest, :global
  slot :inner_block, required: true

  @doc "One figure and what it is. Within a `<dl>`."
  def figure(assigns) do
    ~H"""
    <div>
      <dt>{@term}</dt>
      <dd id={@id} {@rest}>{render_slot(@inner_block)}</dd>
    </div>
    """
  end

  attr :event, :string, required: true
  attr :name, :string, required: true
  slot :inner_block, required: true, doc: "what happens then"

  @doc "A button that breaks something. Within a `<ul>`."
  def breaker(assigns) do
    ~H"""
    <li>
      <button type="button" id={@event} phx-click={@event}>
        {@name} <span>{render_slot(@inner_block)}</span>
      </button>
    </li>
    """
  end
end
