defmodule DurableStash.Hook do
  @moduledoc false
  # Keeps the assign that a view names in `status:` at `:saved`, `:saving` or `:unsaved`.

  alias DurableStash.Context
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
        socket |> show(context) |> LiveView.attach_hook(@hook, :handle_info, &handle_info/2)
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

  @doc """
  Looks at the first render after a recovery that failed: what the mount assigned in between are defaults.
  """
  @spec unrecovered(Socket.t()) :: Socket.t()
  def unrecovered(socket) do
    case Context.fetch!(socket) do
      %{unassigned: []} ->
        socket

      %{tab: %{mount: :dead}} ->
        socket

      _awaits_defaults ->
        socket
        |> LiveView.detach_hook(@mount_hook, :after_render)
        |> LiveView.attach_hook(@mount_hook, :after_render, &rendered/1)
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

  defp show(socket, context) do
    Component.assign(socket, context.options.status, Context.state(context))
  end
end
