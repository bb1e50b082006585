defmodule StashDemoWeb.PageLive do
  @moduledoc """
  The page. Everything on it is an assign of this process: `use LiveStash` names what is kept, `recover_state/1` brings it
  back, and `stash/1` is called where something has changed.
  """

  use Phoenix.LiveView

  import StashDemoWeb.Components

  alias StashDemo.Figures
  alias StashDemo.Server
  alias StashDemo.Version

  @version Version.current()

  use LiveStash,
    adapter: DurableStash,
    vsn: @version,
    migrate: &__MODULE__.migrate/2,
    stored_keys: [
      count: {:session, sync: true},
      items: {:session, sync: true},
      theme: {:shared, sync: true},
      draft: :reconnect
    ],
    status: :stash_status

  @longest_text 2_000
  @longest_list 50
  @burst 1_000
  @stall_ms 3_000

  @doc "The version of the page that this module was compiled as."
  def version, do: @version

  @doc "Version 1 had plain text on its list; since version 2 one can tick things off."
  def migrate(1, stored), do: Map.update(stored, "items", [], fn items -> Enum.map(items, &item(&1, 2)) end)

  @impl Phoenix.LiveView
  def mount(_params, %{"sid" => sid}, socket) do
    socket = assign(socket, count: 0, theme: "auto", items: [], draft: "")
    {outcome, socket} = LiveStash.recover_state(socket)
    if connected?(socket), do: Figures.subscribe(sid)

    facts = [came_back: came_back(outcome, socket.assigns), figures: Figures.of(sid), mounts: mounts(socket)]
    {:ok, socket |> assign(facts) |> look()}
  end

  @impl Phoenix.LiveView
  def handle_event("count", %{"by" => by}, socket) when by in ["1", "-1"] do
    {:noreply, socket |> update(:count, &(&1 + String.to_integer(by))) |> stash()}
  end

  def handle_event("burst", _params, socket) do
    {:noreply, Enum.reduce(1..@burst, socket, fn _time, socket -> socket |> update(:count, &(&1 + 1)) |> stash() end)}
  end

  def handle_event("theme", params, socket), do: {:noreply, socket |> choose_theme(params) |> stash()}

  def handle_event("draft", %{"draft" => text}, socket) when is_binary(text) do
    {:noreply, socket |> assign(draft: String.slice(text, 0, @longest_text)) |> stash()}
  end

  # The two keys are saved together, or neither is.
  def handle_event("add", %{"draft" => text}, socket) when is_binary(text) do
    case text |> String.slice(0, @longest_text) |> String.trim() do
      "" ->
        {:noreply, socket}

      text ->
        items = Enum.take([item(text, @version) | socket.assigns.items], @longest_list)
        {:noreply, socket |> assign(items: items, draft: "") |> stash()}
    end
  end

  def handle_event("remove", %{"at" => at}, socket), do: change_items(socket, at, &List.delete_at/2)

  def handle_event("tick", %{"at" => at}, socket) do
    change_items(socket, at, fn items, at ->
      List.update_at(items, at, &Map.update!(&1, "done", fn done -> !done end))
    end)
  end

  def handle_event("crash", _params, _socket), do: raise("somebody pressed the button")

  # As when the network goes away: no goodbye.
  def handle_event("drop", _params, socket) do
    Process.exit(socket.transport_pid, :kill)
    {:noreply, socket}
  end

  def handle_event("stall", _params, socket) do
    Process.sleep(@stall_ms)
    {:noreply, socket}
  end

  def handle_event("deploy", _params, socket) do
    if Server.supervised?(), do: Server.deploy(Version.next())
    {:noreply, socket}
  end

  def handle_event("kill", _params, socket) do
    if Server.supervised?(), do: Server.kill()
    {:noreply, socket}
  end

  @impl Phoenix.LiveView
  def handle_info({:figures, figures}, socket), do: {:noreply, socket |> assign(figures: figures) |> look()}

  defp stash(socket), do: socket |> LiveStash.stash() |> look()

  # The indicator does not show quick writes. This shows them.
  defp look(socket), do: assign(socket, in_store?: DurableStash.status(socket) == :saved)

  defp change_items(socket, at, change) do
    case Integer.parse(at) do
      {at, ""} when at >= 0 and at < length(socket.assigns.items) ->
        {:noreply, socket |> update(:items, &change.(&1, at)) |> stash()}

      _no_such_item ->
        {:noreply, socket}
    end
  end

  @impl Phoenix.LiveView
  def render(assigns) do
    ~H"""
    <.frame here="/" theme={@theme} status={@stash_status}>
      <div class="lead">
        <h1>Try to lose something.</h1>
        <p>
          Everything here is the state of one process on the server. Crash it, cut it off, deploy over it, or kill the server
          with <code>SIGKILL</code>: what says <em>Saved</em> comes back.
        </p>
      </div>

      <div class="columns">
        <div class="state">
          <section aria-labelledby="count-title">
            <h2 id="count-title">Count</h2>
            <p class="scope">kept for the browser session</p>
            <div class="counter">
              <button type="button" id="less" phx-click="count" phx-value-by="-1" aria-label="One less">−</button>
              <output id="count" aria-labelledby="count-title">{@count}</output>
              <button type="button" id="more" phx-click="count" phx-value-by="1" aria-label="One more">+</button>
              <button type="button" id="burst" phx-click="burst">Add 1,000, one stash each</button>
            </div>
          </section>

          <section aria-labelledby="draft-title">
            <h2 id="draft-title">Draft</h2>
            <p class="scope">kept for this tab; a new page starts blank</p>
            <form id="draft-form" phx-change="draft" phx-submit="add">
              <textarea id="draft" name="draft" rows="3" maxlength="2000" aria-labelledby="draft-title" placeholder="Begin a sentence, and break something before you finish it."><%= "\n" <> @draft %></textarea>
              <button type="submit" id="add">Put it on the list</button>
            </form>
          </section>

          <section aria-labelledby="list-title">
            <h2 id="list-title">List</h2>
            <p class="scope">kept for the browser session</p>
            <p :if={@items == []} class="empty">Nothing yet.</p>
            <ul id="items" class="items">
              <li :for={{item, at} <- Enum.with_index(@items)}>
                <.item item={item} at={at} />
                <button type="button" class="quiet" phx-click="remove" phx-value-at={at} aria-label={"Remove " <> text(item)}>
                  Remove
                </button>
              </li>
            </ul>
          </section>
        </div>

        <div class="margin">
          <section aria-labelledby="break-title">
            <h2 id="break-title">Break it</h2>
            <ul class="breakers">
              <.breaker event="crash" name="Crash the LiveView">An exception in its process.</.breaker>
              <.breaker event="drop" name="Drop the connection">The WebSocket dies without a goodbye.</.breaker>
              <.breaker event="stall" name="Keep it busy">Three seconds in which it answers nobody.</.breaker>
              <.breaker :if={Server.supervised?()} event="deploy" name={"Deploy version #{Version.next()}"}>
                {deploy_brings(Version.next())}
              </.breaker>
              <.breaker :if={Server.supervised?()} event="kill" name="Kill the server">
                SIGKILL. The next one starts in a moment.
              </.breaker>
            </ul>
          </section>

          <section aria-labelledby="store-title">
            <h2 id="store-title">What the store did</h2>
            <p class="scope">for this browser session, since the server started</p>
            <dl class="figures">
              <.figure id="revision" term="saved revision">{@figures.revision || "–"}</.figure>
              <.figure id="puts" term="PUTs">{@figures.puts}</.figure>
              <.figure id="per-put" term="stashes per PUT">{per_put(@figures)}</.figure>
              <.figure id="saved-in" term="ms from stash to saved">{@figures.saved_in_ms || "–"}</.figure>
            </dl>
          </section>

          <section aria-labelledby="server-title">
            <h2 id="server-title">Who serves this page</h2>
            <dl class="facts">
              <.figure id="in-store" term="in the store">{if @in_store?, do: "everything", else: "not yet everything"}</.figure>
              <.figure id="os-pid" term="server process">{Server.os_pid()}</.figure>
              <.figure id="live-view" term="LiveView">{inspect(self())}</.figure>
              <.figure id="version" term="version of the page">{version()}</.figure>
              <.figure id="mounts" term="mounted">{mounted(@mounts)}</.figure>
              <.figure id="came-back" term="came back" data-outcome={@came_back.outcome}>{@came_back.words}</.figure>
            </dl>
          </section>
        </div>
      </div>
    </.frame>
    """
  end

  attr :item, :any, required: true
  attr :at, :integer, required: true

  defp item(%{item: %{"done" => _done}} = assigns) do
    ~H"""
    <label>
      <input type="checkbox" checked={@item["done"]} phx-click="tick" phx-value-at={@at} />
      <span>{text(@item)}</span>
    </label>
    """
  end

  defp item(assigns), do: ~H"<span>{text(@item)}</span>"

  defp item(text, 1), do: text
  defp item(text, 2), do: %{"text" => text, "done" => false}

  defp text(%{"text" => text}), do: text
  defp text(text), do: text

  defp deploy_brings(1), do: "SIGTERM. Version 1 has its own list."
  defp deploy_brings(2), do: "SIGTERM. Version 2 can tick things off."

  defp per_put(%{puts: 0}), do: "–"
  defp per_put(%{stashes: stashes, puts: puts}), do: :erlang.float_to_binary(stashes / puts, decimals: 1)

  defp mounted(0), do: "once"
  defp mounted(before), do: "#{before + 1} times"

  defp mounts(socket) do
    case connected?(socket) && get_connect_params(socket) do
      %{"_mounts" => mounts} when is_integer(mounts) and mounts >= 0 -> mounts
      _unknown -> 0
    end
  end

  defp came_back(:recovered, %{count: count, items: items, draft: draft}) do
    %{
      outcome: :recovered,
      words: "count #{count}, #{length(items)} on the list, #{String.length(draft)} characters of a draft"
    }
  end

  defp came_back(:not_found, _assigns), do: %{outcome: :not_found, words: "nothing; nothing was stored"}
  defp came_back(:error, _assigns), do: %{outcome: :error, words: "nothing; the store did not answer"}
end
