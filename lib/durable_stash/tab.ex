defmodule DurableStash.Tab do
  @moduledoc false
  # Which tab a LiveView is mounted in, and how. A tab is one page's memory: what LiveStash's client script echoes in the
  # connect params tells it, or the LiveView's id where the script is not loaded. What arrives in the params is unsigned:
  # only exactly what the client sends counts.

  alias DurableStash.Host
  alias DurableStash.SessionKey
  alias Phoenix.LiveView
  alias Phoenix.LiveView.Socket

  # The event by which LiveStash's client script learns the nonce that it then echoes as `liveStash.stashId`.
  @announce "live-stash:init-redis"

  @enforce_keys [:id, :mount, :announce?]
  # `lost`: why no later mount can find this tab again.
  defstruct [:id, :mount, :announce?, lost: nil]

  @typedoc """
    * `:dead` is the HTTP render,
    * `:fresh` a page's first mount, or a live navigation's,
    * `:rejoin` a later mount of the same page.
  """
  @type mount :: :dead | :fresh | :rejoin
  @type t :: %__MODULE__{id: String.t(), mount: mount(), announce?: boolean(), lost: nil | :sticky | :nothing_around}

  @doc "The tab of a socket that is being mounted."
  @spec of(Socket.t()) :: t()
  def of(%Socket{parent_pid: parent} = socket) do
    cond do
      not LiveView.connected?(socket) ->
        %__MODULE__{id: socket.id, mount: :dead, announce?: false, lost: lost_at_dead_mount(socket)}

      sticky?(socket) ->
        lost(:sticky)

      parent != nil ->
        nested(Host.tab_around(socket), socket)

      true ->
        connected(connect_params(socket), socket.id)
    end
  end

  @doc "Raises an `ArgumentError` where the view has `:reconnect` keys, and the tab cannot be found again."
  @spec check!(t(), tab_keys :: [atom()], view :: module()) :: :ok
  def check!(%__MODULE__{lost: lost}, [key | _rest], view) when lost != nil do
    raise ArgumentError,
          "#{inspect(view)} is #{reason(lost)}, so there is no tab that its :reconnect key " <>
            "#{inspect(key)} could come back to. #{remedy(lost)}"
  end

  def check!(_tab, _tab_keys, _view), do: :ok

  @doc "Tells the page the nonce that was minted for it."
  @spec announce(Socket.t(), t()) :: Socket.t()
  def announce(socket, %__MODULE__{announce?: true, id: nonce}),
    do: LiveView.push_event(socket, @announce, %{stashId: nonce})

  def announce(socket, %__MODULE__{announce?: false}), do: socket

  # A nested LiveView is in the tab of the one around it, and several may be of one module. The page has one nonce, which is
  # the root's. That a nested one's first mount counts from 1 after a reconnect does no harm: what it then finds is what was
  # stored in this very tab.
  defp nested({:ok, around}, socket) do
    rejoins? = around.mount == :rejoin or rejoin?(connect_params(socket))
    id = "#{around.id}/#{socket.id}"
    %__MODULE__{id: id, mount: if(rejoins?, do: :rejoin, else: :fresh), announce?: false, lost: around.lost}
  end

  defp nested(:error, _socket), do: lost(:nothing_around)

  # A tab of its own, or two pages' would be taken for one.
  defp lost(why), do: %__MODULE__{id: SessionKey.mint(), mount: :fresh, announce?: false, lost: why}

  defp lost_at_dead_mount(%Socket{parent_pid: parent} = socket) do
    cond do
      sticky?(socket) -> :sticky
      parent != nil and not Host.any?() -> :nothing_around
      true -> nil
    end
  end

  # Its id is one and the same in every page, and it outlives the page's nonce, which each live navigation renews.
  defp sticky?(%Socket{sticky?: sticky?}), do: sticky? == true

  defp reason(:sticky), do: "sticky, or nested in a sticky LiveView, which outlives the page"
  defp reason(:nothing_around), do: "nested in a LiveView without a stash"

  defp remedy(:sticky), do: "Give the key another scope"

  defp remedy(:nothing_around), do: "Give the outer LiveView one, stored_keys: [] will do, or the key another scope"

  defp rejoin?(%{"_mounts" => mounts}), do: is_integer(mounts) and mounts > 0
  defp rejoin?(_params), do: false

  defp connected(%{"_mounts" => mounts} = params, socket_id)
       when is_integer(mounts) and mounts > 0 do
    %__MODULE__{id: echoed_nonce(params) || socket_id, mount: :rejoin, announce?: false}
  end

  # The script keeps the nonce over a live navigation, so what it echoes here is the page's that was left.
  defp connected(params, socket_id) do
    if Map.has_key?(params, "liveStash") do
      %__MODULE__{id: SessionKey.mint(), mount: :fresh, announce?: true}
    else
      %__MODULE__{id: socket_id, mount: :fresh, announce?: false}
    end
  end

  defp echoed_nonce(%{"liveStash" => %{"stashId" => nonce}}) when is_binary(nonce) do
    if nonce =~ ~r/\A[A-Za-z0-9_-]{16,64}\z/, do: nonce
  end

  defp echoed_nonce(_params), do: nil

  # Raises where the params are absent: in nested LiveViews, after mount, or when a client sent none.
  defp connect_params(socket) do
    case LiveView.get_connect_params(socket) do
      %{} = params -> params
      _other -> %{}
    end
  rescue
    RuntimeError -> %{}
  end
end
