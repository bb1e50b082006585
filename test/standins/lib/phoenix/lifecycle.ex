defmodule Phoenix.LiveView.Lifecycle do
  @moduledoc false

  alias Phoenix.LiveView.Socket

  defstruct after_render: [],
            handle_async: [],
            handle_event: [],
            handle_info: [],
            handle_params: [],
            mount: []

  @stages [:handle_async, :handle_event, :handle_info, :handle_params, :after_render]

  def attach_hook(%Socket{private: %{lifecycle: lifecycle}} = socket, id, stage, fun)
      when stage in @stages and is_function(fun) do
    hooks = Map.fetch!(lifecycle, stage)

    if Enum.any?(hooks, &(&1.id == id)) do
      raise ArgumentError, "existing hook #{inspect(id)} already attached on #{inspect(stage)}."
    end

    hook = %{id: id, stage: stage, function: fun}
    lifecycle = Map.put(lifecycle, stage, hooks ++ [hook])
    %{socket | private: Map.put(socket.private, :lifecycle, lifecycle)}
  end

  def attach_hook(%Socket{}, _id, stage, _fun) when stage not in @stages do
    raise ArgumentError, "invalid lifecycle event provided to attach_hook: #{inspect(stage)}"
  end

  def detach_hook(%Socket{private: %{lifecycle: lifecycle}} = socket, id, stage) when stage in @stages do
    hooks = Enum.reject(Map.fetch!(lifecycle, stage), &(&1.id == id))
    %{socket | private: Map.put(socket.private, :lifecycle, Map.put(lifecycle, stage, hooks))}
  end

  def handle_info(message, %Socket{private: %{lifecycle: lifecycle}} = socket) do
    Enum.reduce_while(lifecycle.handle_info, {:cont, socket}, fn hook, {:cont, socket} ->
      case hook.function.(message, socket) do
        {:cont, %Socket{} = socket} ->
          {:cont, {:cont, socket}}

        {:halt, %Socket{} = socket} ->
          {:halt, {:halt, socket}}

        other ->
          raise ArgumentError, "invalid return from hook #{inspect(hook.id)}: #{inspect(other)}"
      end
    end)
  end

  def after_render(%Socket{private: %{lifecycle: lifecycle}} = socket) do
    Enum.reduce(lifecycle.after_render, socket, fn hook, socket ->
      case hook.function.(socket) do
        %Socket{} = socket ->
          socket

        other ->
          raise ArgumentError,
                "expected after_render hook to return a socket, got: #{inspect(other)}"
      end
    end)
  end
end
