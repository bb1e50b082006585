defmodule LiveStash do
  @moduledoc false

  alias Phoenix.LiveView

  def init_stash(socket, session, options \\ []) do
    {adapter, options} = Keyword.pop(options, :adapter, LiveStash.Adapters.ETS)

    if not Keyword.has_key?(options, :stored_keys),
      do: raise(ArgumentError, "Missing required option: :stored_keys")

    if adapter not in Application.get_env(:live_stash, :adapters, [LiveStash.Adapters.ETS]) do
      raise ArgumentError, "The adapter #{inspect(adapter)} is not active"
    end

    # The option itself is handed on.
    socket =
      if Keyword.get(options, :auto_stash, false) do
        LiveView.attach_hook(socket, :live_stash_auto_stash, :after_render, &LiveStash.stash/1)
      else
        socket
      end

    socket
    |> LiveView.put_private(:live_stash_adapter, adapter)
    |> adapter.init_stash(session, options)
  end

  def stash(socket), do: adapter!(socket).stash(socket)
  def recover_state(socket), do: adapter!(socket).recover_state(socket)
  def reset_stash(socket), do: adapter!(socket).reset_stash(socket)

  defp adapter!(%{private: %{live_stash_adapter: adapter}}), do: adapter
  defp adapter!(_socket), do: raise(ArgumentError, "LiveStash has not been initialized")
end
