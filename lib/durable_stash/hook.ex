defmodule DurableStash.Hook do
  @moduledoc false
  # Keeps the assign that a view names in `status:` at `:saved`, `:saving` or `:unsaved`.

  alias DurableStash.Context
  alias Phoenix.Component
  alias Phoenix.LiveView
  alias Phoenix.LiveView.Socket

  @hook :durable_stash_status

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
