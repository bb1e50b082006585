defmodule StashDemoWeb.PadLive do
  @moduledoc """
  A page that never calls `stash/1`: with `auto_stash: true` LiveStash does, after each render.
  """

  use Phoenix.LiveView

  use LiveStash,
    adapter: DurableStash,
    stored_keys: [:text, theme: {:shared, sync: true}],
    auto_stash: true,
    status: :stash_status

  import StashDemoWeb.Components

  @longest_text 10_000

  @impl Phoenix.LiveView
  def mount(_params, _session, socket) do
    {_outcome, socket} = socket |> assign(text: "", theme: "auto") |> LiveStash.recover_state()
    {:ok, socket}
  end

  @impl Phoenix.LiveView
  def handle_event("write", %{"text" => text}, socket) when is_binary(text) do
    {:noreply, assign(socket, text: String.slice(text, 0, @longest_text))}
  end

  def handle_event("theme", params, socket), do: {:noreply, choose_theme(socket, params)}

  # LiveView renders no more once a callback has navigated, and where nothing is rendered nothing is stashed by itself.
  def handle_event("clear", _params, socket) do
    {:noreply, socket |> assign(text: "") |> DurableStash.push_navigate(to: "/")}
  end

  @impl Phoenix.LiveView
  def render(assigns) do
    ~H"""
    <.frame here="/pad" theme={@theme} status={@stash_status}>
      <div class="lead">
        <h1>A scratch pad.</h1>
        <p>
          Its code never asks for anything to be saved: with <code>auto_stash: true</code> whatever was rendered is stashed. It is
          kept for the browser session, for every tab that opens it.
        </p>
      </div>
      <form id="pad-form" class="pad" phx-change="write" phx-submit="write">
        <label for="pad" class="hidden">Scratch pad</label>
        <textarea id="pad" name="text" rows="12" maxlength="10000" placeholder="Write."><%= "\n" <> @text %></textarea>
        <button type="button" id="clear" phx-click="clear">Clear it, and go back to the page</button>
      </form>
    </.frame>
    """
  end
end
