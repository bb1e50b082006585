defmodule DurableStash.Browser.Connection do
  @moduledoc """
  One page's WebSocket: what stands between the page and its LiveView. It keeps what the page shows.

  It speaks to `Phoenix.LiveView.Channel` as the transport of a real WebSocket does. When it stops, the LiveView learns
  that the connection is gone.
  """

  use GenServer, restart: :temporary

  alias Phoenix.LiveView.Channel
  alias Phoenix.LiveView.Diff
  alias Phoenix.LiveViewTest.Diff, as: ClientDiff
  alias Phoenix.Socket.Message
  alias Phoenix.Socket.Reply

  @timeout 5_000

  # -- The page's side --------------------------------------------------------------------------------------------

  @doc """
  Joins. Returns the connection, the LiveView and the events that it pushed while it mounted, or how the join was refused.
  """
  def open(endpoint, topic, payload, session) do
    {:ok, connection} =
      ExUnit.Callbacks.start_supervised({__MODULE__, {endpoint, topic, session}}, id: make_ref())

    with {:ok, view, pushed} <- GenServer.call(connection, {:join, payload}, 2 * @timeout),
         do: {:ok, connection, view, pushed}
  end

  @doc "An event of the page. Returns when the LiveView has handled it, or `{:exit, reason}` when it died of it."
  def event(connection, name, value, component \\ nil),
    do: GenServer.call(connection, {:event, name, value, component}, 2 * @timeout)

  @doc "The page's HTML."
  def html(connection), do: GenServer.call(connection, :html)

  @doc "Live navigation: the page leaves the LiveView, over a connection that stays."
  def leave(connection), do: GenServer.call(connection, :leave)

  @doc "The connection is gone, and the LiveView knows."
  def close(connection), do: GenServer.stop(connection)

  # -- The transport ----------------------------------------------------------------------------------------------

  defmodule Serializer do
    @moduledoc false
    # Messages stay terms.
    def encode!(message), do: message
    def fastlane!(message), do: message
  end

  @doc false
  def start_link(argument), do: GenServer.start_link(__MODULE__, argument)

  @impl GenServer
  def init({endpoint, topic, session}) do
    socket = %Phoenix.Socket{
      transport_pid: self(),
      serializer: Serializer,
      endpoint: endpoint,
      topic: topic,
      join_ref: "join",
      private: %{connect_info: %{session: session}}
    }

    {:ok, %{socket: socket, view: nil, monitor: nil, page: %{}, next: 1, waiting: %{}}}
  end

  @impl GenServer
  def handle_call({:join, payload}, from, state) do
    ref = make_ref()
    {:ok, view} = Channel.start_link({state.socket.endpoint, {self(), ref}})
    Process.unlink(view)
    send(view, {Phoenix.Channel, payload, {self(), ref}, state.socket})
    {:noreply, %{state | view: view, monitor: Process.monitor(view), waiting: %{ref => from}}}
  end

  def handle_call({:event, name, value, component}, from, state) do
    ref = Integer.to_string(state.next)
    payload = %{"type" => "click", "event" => name, "value" => value}
    payload = if component, do: Map.put(payload, "cid", component), else: payload
    tell(state, "event", ref, payload)
    {:noreply, %{state | next: state.next + 1, waiting: Map.put(state.waiting, ref, from)}}
  end

  def handle_call(:leave, from, state) do
    tell(state, "phx_leave", "leave", %{})
    {:noreply, %{state | waiting: Map.put(state.waiting, :down, from)}}
  end

  def handle_call(:html, _from, state) do
    {:reply, state.page |> Diff.to_iodata() |> IO.iodata_to_binary(), state}
  end

  @impl GenServer
  # The answer to a join.
  def handle_info({ref, {:ok, %{rendered: rendered}}}, state) when is_reference(ref) do
    {pushed, rendered} = Map.pop(rendered, :e, [])

    answered(
      %{state | page: ClientDiff.merge_diff(%{}, rendered)},
      ref,
      {:ok, state.view, pushed}
    )
  end

  def handle_info({ref, {:error, reason}}, state) when is_reference(ref),
    do: answered(state, ref, {:error, reason})

  def handle_info(%Reply{ref: ref, payload: payload}, state),
    do: state |> merge(payload) |> answered(ref, :ok)

  def handle_info(%Message{event: "diff", payload: diff}, state),
    do: {:noreply, merge(state, %{diff: diff})}

  def handle_info({:DOWN, monitor, :process, _view, reason}, %{monitor: monitor} = state) do
    for {ref, from} <- state.waiting,
        do: GenServer.reply(from, if(ref == :down, do: :ok, else: {:exit, reason}))

    {:noreply, %{state | waiting: %{}}}
  end

  def handle_info(_other, state), do: {:noreply, state}

  defp tell(%{socket: socket} = state, event, ref, payload) do
    send(state.view, %Message{
      topic: socket.topic,
      event: event,
      ref: ref,
      join_ref: socket.join_ref,
      payload: payload
    })
  end

  defp merge(state, %{diff: diff}),
    do: %{state | page: ClientDiff.merge_diff(state.page, Map.delete(diff, :e))}

  defp merge(state, _payload), do: state

  defp answered(state, ref, answer) do
    {from, waiting} = Map.pop(state.waiting, ref)
    if from, do: GenServer.reply(from, answer)
    {:noreply, %{state | waiting: waiting}}
  end
end
