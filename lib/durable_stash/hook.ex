defmodule DurableStash.Hook do
  @moduledoc false
  # Keeps the assign that a view names in `status:` at what `DurableStash.status/1` says.

  alias DurableStash.Context
  alias DurableStash.Defaults
  alias DurableStash.Standing
  alias Phoenix.Component
  alias Phoenix.LiveView
  alias Phoenix.LiveView.Socket

  @hook :durable_stash_status
  @mount_hook :durable_stash_mount

  @doc "Sets the assign, and follows the engine's messages on a connected mount."
  @spec attach(Socket.t()) :: Socket.t()
  def attach(socket) do
    case Context.fetch!(socket) do
      %{options: %{status: nil}} ->
        socket

      %{tab: %{mount: :dead}} = context ->
        show(socket, context)

      context ->
        socket
        |> show(context)
        |> LiveView.detach_hook(@hook, :handle_info)
        |> LiveView.attach_hook(@hook, :handle_info, &handle_info/2)
    end
  end

  @doc """
  Shows what a stash led to. `auto_stash` runs after the render, where assigns are never rendered: there it is shown by a
  message to ourselves.
  """
  @spec written(Socket.t()) :: Socket.t()
  def written(socket) do
    case Context.fetch!(socket) do
      %{options: %{status: nil}} ->
        socket

      %{options: %{auto_stash: true}} ->
        send(self(), {@hook, nil, :written})
        socket

      context ->
        show(socket, context)
    end
  end

  @doc "Shows whether what was recovered is saved: LiveViews before this one may have written it a moment ago."
  @spec recovered(Socket.t()) :: Socket.t()
  def recovered(socket) do
    case Context.fetch!(socket) do
      %{options: %{status: nil}} -> socket
      context -> show(socket, context)
    end
  end

  @doc """
  Looks at the first render after a recovery: what the mount assigned in between are defaults.
  """
  @spec await_defaults(Socket.t()) :: Socket.t()
  def await_defaults(socket) do
    context = Context.fetch!(socket)

    if context.tab.mount != :dead and Defaults.awaited?(context.defaults) do
      socket
      |> LiveView.detach_hook(@mount_hook, :after_render)
      |> LiveView.attach_hook(@mount_hook, :after_render, &rendered/1)
    else
      socket
    end
  end

  defp rendered(socket) do
    socket
    |> Context.put(Context.mounted(Context.fetch!(socket), socket.assigns))
    |> LiveView.detach_hook(@mount_hook, :after_render)
  end

  @doc false
  # The messages are ours alone: a view with a picky `handle_info`, or none, never sees them.
  @spec handle_info(term(), Socket.t()) :: {:cont | :halt, Socket.t()}
  def handle_info({@hook, _tag, _change}, socket),
    do: {:halt, show(socket, Context.fetch!(socket))}

  def handle_info(_message, socket), do: {:cont, socket}

  # Of a stash that was asked for before this one.
  defp show(socket, %{options: %{status: nil}}), do: socket

  defp show(socket, context) do
    {status, lasts} = Standing.of(context)
    socket |> Component.assign(context.options.status, status) |> look_again(context, lasts)
  end

  # One timer at a time, for the next moment at which something else may have to be shown. That a write is saved, or has
  # failed, is told by the engine.
  defp look_again(socket, _context, :infinity), do: socket
  defp look_again(socket, %{tab: %{mount: :dead}}, _milliseconds), do: socket

  defp look_again(socket, context, milliseconds) do
    if context.look, do: Process.cancel_timer(context.look)
    look = Process.send_after(self(), {@hook, nil, :look}, milliseconds)
    Context.put(socket, %{context | look: look})
  end
end
