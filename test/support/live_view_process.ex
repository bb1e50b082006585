defmodule DurableStash.LiveViewProcess do
  @moduledoc """
  A process that runs a view through LiveStash as a LiveView's process does: mount with hooks, callbacks, a "render" after
  each of them that runs the `:after_render` hooks and clears `__changed__`, messages that pass the `:handle_info` hooks.

  It is made of the sockets of the world at hand, stand-ins or real packages.
  """

  use GenServer

  alias Phoenix.Component
  alias Phoenix.LiveView.Lifecycle
  alias Phoenix.LiveView.Socket

  defmodule Endpoint do
    @moduledoc false
    def config(:secret_key_base), do: String.duplicate("0123456789abcdef", 4)
  end

  @doc """
  Mounts a view and returns its process once mounted.

    * `:view`: the module's name;
    * `:stash`: the options of `use LiveStash`;
    * `:assigns`: what `mount/3` assigns before it recovers;
    * `:session`, `:id`, `:params` (none for the dead render);
    * `:parent`: the process of the LiveView that it is nested in;
    * `:sticky`: whether it is sticky.
  """
  def start(options) do
    {:ok, pid} = GenServer.start(__MODULE__, options)
    pid
  end

  @doc "Runs `fun` in the LiveView with its socket. It returns `{reply, socket}`."
  def run(pid, fun), do: GenServer.call(pid, {:run, fun}, :infinity)

  @doc "What `LiveStash.recover_state/1` said at mount."
  def recovered(pid), do: GenServer.call(pid, :recovered)

  def socket(pid), do: run(pid, &{&1, &1})
  def assigns(pid), do: socket(pid).assigns
  def stash(pid), do: run(pid, &{:ok, LiveStash.stash(&1)})
  def reset(pid), do: run(pid, &{:ok, LiveStash.reset_stash(&1)})
  def status(pid), do: run(pid, &{DurableStash.status(&1), &1})
  def flush(pid, timeout \\ 5_000), do: run(pid, &{DurableStash.flush(&1, timeout), &1})

  @doc "An event that assigns and stashes."
  def stash(pid, assigns),
    do: run(pid, &{:ok, &1 |> Component.assign(assigns) |> LiveStash.stash()})

  @doc "An event that only assigns."
  def assign(pid, assigns), do: run(pid, &{:ok, Component.assign(&1, assigns)})

  @doc "Stashes and waits until it is saved."
  def save(pid, assigns) do
    :ok = stash(pid, assigns)
    :ok = flush(pid)
  end

  @doc "Waits until everything stashed is saved, and returns the assigns of that moment."
  def saved_assigns(pid) do
    run(pid, fn socket ->
      :ok = DurableStash.flush(socket)
      {socket.assigns, socket}
    end)
  end

  @doc "The messages that no hook halted."
  def unhandled(pid), do: GenServer.call(pid, :unhandled)

  @doc "As a lost connection ends a LiveView."
  def close(pid), do: GenServer.stop(pid, {:shutdown, :closed})

  @doc "The events that were pushed to the page."
  def pushed(pid), do: GenServer.call(pid, :pushed)

  # -- The process ------------------------------------------------------------------------------------------------

  @impl GenServer
  def init(options) do
    stash = Keyword.fetch!(options, :stash)

    socket =
      options
      |> socket_at_mount()
      |> LiveStash.init_stash(Keyword.get(options, :session, %{}), stash)
      |> Component.assign(Keyword.get(options, :assigns, []))

    {recovered, socket} = LiveStash.recover_state(socket)
    socket = if mount = options[:mount], do: mount.(socket), else: socket
    pushed = Enum.reverse(socket.private.live_temp[:push_events] || [])
    socket = rendered(socket)
    private = Map.drop(socket.private, [:connect_params, :connect_info, :assign_new])

    {:ok, %{socket: %{socket | private: private}, recovered: recovered, pushed: pushed, unhandled: []}}
  end

  @impl GenServer
  def handle_call({:run, fun}, _from, state) do
    {reply, socket} = fun.(state.socket)
    {:reply, reply, %{state | socket: render(socket)}}
  end

  def handle_call(:recovered, _from, state), do: {:reply, state.recovered, state}
  def handle_call(:pushed, _from, state), do: {:reply, state.pushed, state}
  def handle_call(:unhandled, _from, state), do: {:reply, Enum.reverse(state.unhandled), state}

  @impl GenServer
  def handle_info(message, state) do
    case Lifecycle.handle_info(message, state.socket) do
      {:halt, socket} ->
        {:noreply, %{state | socket: render(socket)}}

      {:cont, socket} ->
        {:noreply, %{state | socket: render(socket), unhandled: [message | state.unhandled]}}
    end
  end

  defp socket_at_mount(options) do
    params = options[:params]

    %Socket{
      id: Keyword.get(options, :id, "phx-page"),
      endpoint: Endpoint,
      view: Keyword.get(options, :view, DurableStash.SomeLive),
      transport_pid: if(params, do: self()),
      parent_pid: options[:parent],
      # LiveView leaves nil where it was not asked for.
      sticky?: options[:sticky],
      root_pid: options[:root] || options[:parent] || self(),
      assigns: %{__changed__: %{}, flash: %{}, live_action: nil},
      private: %{
        connect_params: params || %{},
        connect_info: %{},
        assign_new: {%{}, []},
        lifecycle: %Lifecycle{},
        root_view: Keyword.get(options, :view, DurableStash.SomeLive),
        live_temp: %{}
      }
    }
  end

  # Hooks run only where something changed; what they assign is not rendered.
  defp render(%Socket{assigns: %{__changed__: changed}} = socket) when changed == %{}, do: socket
  defp render(%Socket{} = socket), do: rendered(socket)

  # A connected mount is rendered, whether it has assigned anything or not. Nothing is once a callback has navigated.
  defp rendered(%Socket{transport_pid: nil} = socket), do: socket
  defp rendered(%Socket{redirected: {_how, _to}} = socket), do: socket
  defp rendered(%Socket{redirected: {_how, _kind, _to}} = socket), do: socket

  defp rendered(%Socket{} = socket) do
    socket = Lifecycle.after_render(socket)
    %{socket | assigns: %{socket.assigns | __changed__: %{}}}
  end
end
