defmodule DurableStash.Hook do
  @moduledoc false
  # Keeps the assign that a view names in `status:` at `:saved`, `:saving` or `:unsaved`.
  #
  # A write that is quick is not shown at all: "Saved" that flickers with each keystroke is nothing to look at, and nothing
  # to hear for who has it read out.

  alias DurableStash.Context
  alias DurableStash.Defaults
  alias DurableStash.Standing
  alias Phoenix.Component
  alias Phoenix.LiveView
  alias Phoenix.LiveView.Socket

  @hook :durable_stash_status
  @mount_hook :durable_stash_mount

  # How long (ms) a write may take before the assign says `:saving`. What it said before stays until then.
  @quick 200

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

  defp show(socket, context) do
    name = context.options.status

    case Standing.of(context) do
      {:saving, age} when age < @quick ->
        socket = if is_map_key(socket.assigns, name), do: socket, else: Component.assign(socket, name, :saved)
        look_again(socket, context, @quick - age)

      {:saving, age} ->
        socket |> Component.assign(name, :saving) |> look_again(context, Standing.late() - age)

      standing ->
        Component.assign(socket, name, standing)
    end
  end

  # One timer at a time, for the next moment at which something else may have to be shown. That a write is saved, or has
  # failed, is told by the engine.
  defp look_again(socket, %{tab: %{mount: :dead}}, _milliseconds), do: socket

  defp look_again(socket, context, milliseconds) do
    if context.look, do: Process.cancel_timer(context.look)
    look = Process.send_after(self(), {@hook, nil, :look}, milliseconds)
    Context.put(socket, %{context | look: look})
  end
end
