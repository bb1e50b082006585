defmodule Phoenix.LiveView do
  @moduledoc false

  alias Phoenix.LiveView.Lifecycle
  alias Phoenix.LiveView.Socket

  @reserved_privates [
    :connect_params,
    :connect_info,
    :assign_new,
    :live_async,
    :live_layout,
    :live_temp,
    :lifecycle,
    :render_with,
    :root_view
  ]

  def connected?(%Socket{transport_pid: transport_pid}), do: transport_pid != nil

  def get_connect_params(%Socket{private: private} = socket) do
    if connect_params = private[:connect_params] do
      if connected?(socket), do: connect_params
    else
      raise RuntimeError,
            "attempted to read connect_params outside of mount, or in a nested LiveView"
    end
  end

  def put_private(%Socket{} = socket, key, value) when key not in @reserved_privates,
    do: %{socket | private: Map.put(socket.private, key, value)}

  def put_private(%Socket{}, key, _value),
    do: raise(ArgumentError, "cannot set reserved private key #{inspect(key)}")

  def push_event(%Socket{} = socket, event, %{} = payload) do
    update_in(socket.private.live_temp[:push_events], &[[event, payload] | &1 || []])
  end

  def push_navigate(%Socket{} = socket, options), do: put_redirect(socket, {:live, :redirect, pushed!(options)})

  def redirect(%Socket{} = socket, options),
    do: put_redirect(socket, {:redirect, %{to: local!(Keyword.fetch!(options, :to)), status: 302}})

  defdelegate attach_hook(socket, id, stage, fun), to: Lifecycle
  defdelegate detach_hook(socket, id, stage), to: Lifecycle

  defp pushed!(options) do
    %{to: local!(Keyword.fetch!(options, :to)), kind: if(options[:replace], do: :replace, else: :push)}
  end

  defp local!("/" <> _ = to), do: to
  defp local!(to), do: raise(ArgumentError, "the :to option expects a path but was #{inspect(to)}")

  defp put_redirect(%Socket{redirected: nil} = socket, command), do: %{socket | redirected: command}

  defp put_redirect(%Socket{redirected: to}, _command),
    do: raise(ArgumentError, "socket already prepared to redirect with #{inspect(to)}")
end
