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
  # `lost?`: a nested LiveView's, around which there is no tab.
  defstruct [:id, :mount, :announce?, lost?: false]

  @typedoc """
    * `:dead` is the HTTP render,
    * `:fresh` a page's first mount, or a live navigation's,
    * `:rejoin` a later mount of the same page.
  """
  @type mount :: :dead | :fresh | :rejoin
  @type t :: %__MODULE__{id: String.t(), mount: mount(), announce?: boolean(), lost?: boolean()}

  @doc "The tab of a socket that is being mounted."
  @spec of(Socket.t()) :: t()
  def of(%Socket{parent_pid: parent} = socket) do
    cond do
      not LiveView.connected?(socket) ->
        %__MODULE__{id: socket.id, mount: :dead, announce?: false, lost?: parent != nil and not Host.any?()}

      parent != nil ->
        nested(Host.tab_around(socket), socket)

      true ->
        connected(connect_params(socket), socket.id)
    end
  end

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
    %__MODULE__{id: "#{around.id}/#{socket.id}", mount: if(rejoins?, do: :rejoin, else: :fresh), announce?: false}
  end

  # A tab of its own, or two pages' would be taken for one.
  defp nested(:error, _socket), do: %__MODULE__{id: SessionKey.mint(), mount: :fresh, announce?: false, lost?: true}

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
