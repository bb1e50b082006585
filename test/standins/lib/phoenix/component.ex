defmodule Phoenix.Component do
  @moduledoc false

  alias Phoenix.LiveView.Socket

  @reserved [:flash, :uploads, :streams, :socket, :myself]

  def assign(%Socket{}, key, _value) when key in @reserved do
    raise ArgumentError,
          "#{inspect(key)} is a reserved assign by LiveView and it cannot be set directly"
  end

  # An equal value changes nothing: the old term stays.
  def assign(%Socket{assigns: assigns} = socket, key, value) when is_atom(key) do
    case assigns do
      %{^key => ^value} -> socket
      %{} -> %{socket | assigns: force(assigns, key, value)}
    end
  end

  def assign(%Socket{}, key, _value) do
    raise ArgumentError, "assigns in LiveView must be atoms, got: #{inspect(key)}"
  end

  def assign(%Socket{} = socket, assigns) when is_map(assigns) or is_list(assigns) do
    Enum.reduce(assigns, socket, fn {key, value}, socket -> assign(socket, key, value) end)
  end

  defp force(%{__changed__: changed} = assigns, key, value) do
    before =
      case assigns do
        %{^key => old} when is_list(old) or is_map(old) or is_tuple(old) -> old
        %{} -> true
      end

    Map.put(%{assigns | __changed__: Map.put_new(changed, key, before)}, key, value)
  end
end
