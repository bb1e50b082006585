# A Phoenix application that uses DurableStash as its documentation says.

defmodule SomeAppWeb do
  @moduledoc """
  `use SomeAppWeb, stored_keys: [...]` makes a view that shows its assigns and does what its events tell it.
  """

  use Phoenix.Component

  defmacro __using__(stash) do
    quote do
      use Phoenix.LiveView, log: false

      use LiveStash,
          Keyword.merge([adapter: DurableStash, engine: SomeApp.Stashes], unquote(stash))

      @impl Phoenix.LiveView
      def mount(_params, _session, socket), do: SomeAppWeb.mount(socket)

      @impl Phoenix.LiveView
      def handle_event(event, params, socket), do: SomeAppWeb.handle_event(event, params, socket)

      @impl Phoenix.LiveView
      def render(assigns), do: SomeAppWeb.render(assigns)

      defoverridable render: 1
    end
  end

  @assigns %{"count" => :count, "theme" => :theme, "draft" => :draft}

  def mount(socket) do
    socket
    |> assign(count: 0, theme: "light", draft: "", flushed: nil)
    |> assign_new(:stash_status, fn -> nil end)
    |> recover()
    |> then(&{:ok, &1})
  end

  defp recover(socket) do
    {mounted, socket} = LiveStash.recover_state(socket)
    assign(socket, mounted: mounted)
  end

  def handle_event("stash", changes, socket),
    do: {:noreply, socket |> change(changes) |> LiveStash.stash()}

  def handle_event("change", changes, socket), do: {:noreply, change(socket, changes)}
  def handle_event("recover", _params, socket), do: {:noreply, recover(socket)}
  def handle_event("reset", _params, socket), do: {:noreply, LiveStash.reset_stash(socket)}
  def handle_event("raise", _params, _socket), do: raise("the view is broken")

  def handle_event("leave", %{"by" => how} = changes, socket) do
    leave = %{
      "LiveView.push_navigate" => &Phoenix.LiveView.push_navigate(&1, to: "/auto"),
      "DurableStash.push_navigate" => &DurableStash.push_navigate(&1, to: "/auto"),
      "DurableStash.redirect" => &DurableStash.redirect(&1, to: "/auto"),
      "LiveView.push_patch" => &Phoenix.LiveView.push_patch(&1, to: "/auto?patched")
    }

    {:noreply, socket |> change(Map.delete(changes, "by")) |> leave[how].()}
  end

  def handle_event("flush", _params, socket) do
    flushed =
      case DurableStash.flush(socket, 1_000) do
        :ok -> :saved
        {:error, error} -> error.kind
      end

    {:noreply, assign(socket, flushed: flushed)}
  end

  def render(assigns) do
    ~H"""
    <dl>
      <dd id="mounted">{@mounted}</dd>
      <dd id="count">{@count}</dd>
      <dd id="theme">{@theme}</dd>
      <dd id="draft">{inspect_unless_text(@draft)}</dd>
      <dd id="flushed">{@flushed}</dd>
      <dd id="stash_status">{@stash_status}</dd>
    </dl>
    """
  end

  @doc """
  Puts another version of `SomeAppWeb.VersionedLive` into the place of the one that runs, with these options of
  `use LiveStash`.
  """
  def release(options) do
    view =
      quote do
        defmodule SomeAppWeb.VersionedLive do
          use SomeAppWeb,
              unquote(Macro.escape([stored_keys: [:count, :theme, draft: :reconnect]] ++ options))
        end
      end

    :code.purge(SomeAppWeb.VersionedLive)
    :code.delete(SomeAppWeb.VersionedLive)
    Code.eval_quoted(view, [], file: __ENV__.file)
    :ok
  end

  defp inspect_unless_text(draft), do: if(is_binary(draft), do: draft, else: "no text")

  def change(socket, changes),
    do:
      assign(
        socket,
        Map.new(changes, fn {name, value} -> {Map.fetch!(@assigns, name), value} end)
      )
end

defmodule SomeAppWeb.DraftLive do
  use SomeAppWeb, stored_keys: [:count, theme: :session, draft: :reconnect]

  # As a timer or a broadcast would.
  @impl Phoenix.LiveView
  def handle_info({:stash, changes}, socket),
    do: SomeAppWeb.handle_event("stash", changes, socket)
end

defmodule SomeAppWeb.OtherLive do
  use SomeAppWeb, stored_keys: [:count, :theme, draft: :reconnect]
end

defmodule SomeAppWeb.AutoLive do
  use SomeAppWeb, stored_keys: [:count, :theme, draft: :reconnect], auto_stash: true

  @impl Phoenix.LiveView
  def handle_params(_params, _uri, socket), do: {:noreply, socket}
end

# Neither this view nor the next one has a handle_info: what the adapter sends itself must not get that far.
defmodule SomeAppWeb.StatusLive do
  use SomeAppWeb, stored_keys: [:count, :theme, draft: :reconnect], status: :stash_status
end

defmodule SomeAppWeb.AutoStatusLive do
  use SomeAppWeb,
    stored_keys: [:count, :theme, draft: :reconnect],
    auto_stash: true,
    status: :stash_status
end

defmodule SomeAppWeb.SyncedLive do
  use SomeAppWeb,
    stored_keys: [count: {:session, sync: true}, theme: {:shared, sync: true}, draft: :reconnect]
end

defmodule SomeAppWeb.SyncedOtherLive do
  use SomeAppWeb, stored_keys: [count: {:session, sync: true}, theme: {:shared, sync: true}]
end

defmodule SomeAppWeb.SyncedAutoLive do
  use SomeAppWeb, stored_keys: [theme: {:shared, sync: true}], auto_stash: true
end

defmodule SomeAppWeb.NoteComponent do
  use Phoenix.LiveComponent
  use DurableStash.Component, stored_keys: [:size, text: :reconnect]

  @impl Phoenix.LiveComponent
  def update(assigns, socket) do
    socket = socket |> assign(assigns) |> assign_new(:size, fn -> 0 end) |> assign_new(:text, fn -> "" end)
    {_status, socket} = DurableStash.Component.recover_state(socket, __MODULE__)
    {:ok, socket}
  end

  @impl Phoenix.LiveComponent
  def render(assigns) do
    ~H"""
    <div>
      <dd id={"size-#{@id}"}>{@size}</dd>
      <dd id={"text-#{@id}"}>{@text}</dd>
    </div>
    """
  end

  @impl Phoenix.LiveComponent
  def handle_event("stash", changes, socket) do
    changes = for {name, value} <- changes, do: {String.to_existing_atom(name), value}
    socket = socket |> assign(changes) |> DurableStash.stash()
    {:noreply, assign(socket, flushed: DurableStash.flush(socket))}
  end
end

defmodule SomeAppWeb.ChatLive do
  use Phoenix.LiveView, log: false
  use DurableStash, engine: SomeApp.Stashes, stored_keys: [:size, text: :reconnect, theme: {:shared, sync: true}]

  @impl Phoenix.LiveView
  def mount(_params, _session, socket) do
    {_status, socket} = socket |> assign(size: 0, text: "", theme: "light") |> DurableStash.recover_state()
    {:ok, socket}
  end

  @impl Phoenix.LiveView
  def handle_event("stash", changes, socket) do
    changes = for {name, value} <- changes, do: {String.to_existing_atom(name), value}
    socket = socket |> assign(changes) |> DurableStash.stash()
    :ok = DurableStash.flush(socket)
    {:noreply, socket}
  end

  @impl Phoenix.LiveView
  def render(assigns) do
    ~H"""
    <dl>
      <dd id="size">{@size}</dd>
      <dd id="text">{@text}</dd>
      <dd id="theme">{@theme}</dd>
    </dl>
    """
  end
end

# Components and nested LiveViews in a LiveView that stashes nothing itself.
defmodule SomeAppWeb.AroundLive do
  use Phoenix.LiveView, log: false
  use LiveStash, adapter: DurableStash, engine: SomeApp.Stashes, stored_keys: [theme: {:shared, sync: true}]

  @impl Phoenix.LiveView
  def mount(_params, _session, socket) do
    {_status, socket} = socket |> assign(theme: "light", shown: ["a", "b"]) |> LiveStash.recover_state()
    {:ok, socket}
  end

  @impl Phoenix.LiveView
  def handle_event("show", %{"ids" => ids}, socket), do: {:noreply, assign(socket, shown: ids)}

  def handle_event("raise", _params, _socket), do: raise("the view is broken")

  def handle_event("theme", %{"theme" => theme}, socket),
    do: {:noreply, socket |> assign(theme: theme) |> LiveStash.stash()}

  @impl Phoenix.LiveView
  def render(assigns) do
    ~H"""
    <div>
      <dd id="theme">{@theme}</dd>
      <.live_component :for={id <- @shown} module={SomeAppWeb.NoteComponent} id={id} />
      {live_render(@socket, SomeAppWeb.ChatLive, id: "chat")}
    </div>
    """
  end
end

defmodule SomeAppWeb.BareLive do
  use Phoenix.LiveView, log: false

  @impl Phoenix.LiveView
  def render(assigns) do
    ~H"""
    <div>{live_render(@socket, SomeAppWeb.ChatLive, id: "chat")}</div>
    """
  end
end

defmodule SomeAppWeb.BareComponentLive do
  use Phoenix.LiveView, log: false

  @impl Phoenix.LiveView
  def render(assigns) do
    ~H"""
    <div><.live_component module={SomeAppWeb.NoteComponent} id="a" /></div>
    """
  end
end

defmodule SomeAppWeb.Indicators do
  use Phoenix.Component

  def plain(assigns), do: ~H"<DurableStash.Components.status status={@status} />"

  def dressed(assigns) do
    ~H"""
    <DurableStash.Components.status id="indicator" class="small" status={@status}>
      <:saved>All is well</:saved>
      <:saving>One moment</:saving>
      <:unsaved><b>Careful</b></:unsaved>
    </DurableStash.Components.status>
    """
  end
end

defmodule SomeAppWeb.IndicatorLive do
  use SomeAppWeb, stored_keys: [:count, :theme, draft: :reconnect], status: :stash_status

  @impl Phoenix.LiveView
  def render(assigns), do: ~H"<main><SomeAppWeb.Indicators.plain status={@stash_status} /></main>"
end

defmodule SomeAppWeb.AwaitLive do
  use SomeAppWeb, stored_keys: [:count, :theme, draft: :reconnect], durability: :await
end

:ok = SomeAppWeb.release(vsn: 1)

defmodule SomeAppWeb.Router do
  use Phoenix.Router

  import DurableStash.Plug
  import Phoenix.LiveView.Router

  pipeline :browser do
    plug(:fetch_session)
    plug(:ensure_session_id)
  end

  pipeline :without_session_id do
    plug(:fetch_session)
  end

  live_session :default do
    scope "/" do
      pipe_through(:browser)
      live("/draft", SomeAppWeb.DraftLive)
      live("/other", SomeAppWeb.OtherLive)
      live("/auto", SomeAppWeb.AutoLive)
      live("/status", SomeAppWeb.StatusLive)
      live("/auto_status", SomeAppWeb.AutoStatusLive)
      live("/indicator", SomeAppWeb.IndicatorLive)
      live("/around", SomeAppWeb.AroundLive)
      live("/bare", SomeAppWeb.BareLive)
      live("/bare_component", SomeAppWeb.BareComponentLive)
      live("/synced", SomeAppWeb.SyncedLive)
      live("/synced_other", SomeAppWeb.SyncedOtherLive)
      live("/synced_auto", SomeAppWeb.SyncedAutoLive)
      live("/await", SomeAppWeb.AwaitLive)
      live("/versioned", SomeAppWeb.VersionedLive)
    end
  end

  live_session :without_session_id do
    scope "/without_session_id" do
      pipe_through(:without_session_id)
      live("/draft", SomeAppWeb.DraftLive)
    end
  end
end

defmodule SomeAppWeb.ErrorHTML do
  # The test sees the exception itself.
  def render(_template, _assigns), do: "error"
end

Application.put_env(:some_app, SomeAppWeb.Endpoint,
  render_errors: [formats: [html: SomeAppWeb.ErrorHTML], layout: false],
  secret_key_base: String.duplicate("0123456789abcdef", 4),
  live_view: [signing_salt: "live view salt"]
)

defmodule SomeAppWeb.Endpoint do
  use Phoenix.Endpoint, otp_app: :some_app

  @session [store: :cookie, key: "_some_app", signing_salt: "session salt"]

  socket("/live", Phoenix.LiveView.Socket, websocket: [connect_info: [session: @session]])

  plug(Plug.Session, @session)
  plug(SomeAppWeb.Router)

  def session_options, do: @session
end
