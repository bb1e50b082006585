defmodule StashDemoWeb.Components do
  @moduledoc """
  What both pages are made of.
  """

  use Phoenix.Component

  @themes ~w(auto light dark)

  attr :here, :string, required: true, doc: "the path of this page"
  attr :theme, :string, required: true, values: @themes
  attr :status, :atom, required: true
  slot :inner_block, required: true

  def frame(assigns) do
    assigns = assign(assigns, pages: [{"/", "Page"}, {"/pad", "Scratch pad"}], themes: @themes)

    ~H"""
    <div class="frame">
      <header class="bar">
        <p class="name">DurableStash</p>
        <nav aria-label="Pages">
          <.link :for={{path, title} <- @pages} navigate={path} aria-current={path == @here && "page"}>{title}</.link>
        </nav>
        <%!-- After a reconnect LiveView would send the form again: an old choice, over one made in another tab since. --%>
        <form id="theme" class="theme" phx-change="theme" phx-auto-recover="ignore" data-theme={@theme}>
          <fieldset>
            <legend>Theme</legend>
            <label :for={theme <- @themes}>
              <input type="radio" name="theme" value={theme} checked={theme == @theme} />
              <span>{String.capitalize(theme)}</span>
            </label>
          </fieldset>
        </form>
        <.status status={@status} />
      </header>
      <main>
        {render_slot(@inner_block)}
      </main>
    </div>
    """
  end

  @doc "What the form of `frame/1` asks for with its event `theme`."
  def choose_theme(socket, %{"theme" => theme}) when theme in @themes, do: assign(socket, theme: theme)

  attr :status, :atom, required: true, values: [:saved, :pending, :saving, :unsaved]

  # The server's words count only while the page is connected to it, and has had its answer to what it sent (demo.css).
  defp status(assigns) do
    ~H"""
    <div id="status" class="status">
      <DurableStash.Components.status status={@status} class="told" />
      <span class="pending">Saving…</span>
      <span class="away" role="status">Not connected</span>
    </div>
    """
  end

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
