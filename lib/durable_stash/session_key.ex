defmodule DurableStash.SessionKey do
  @moduledoc false
  # The browser session's id (sid) in the cookie session: minted by the plug, read by every mount. It is hashed with the
  # secret before anything is named by it, so any text is safe; it is never logged.

  @max_bytes 512
  @random_bytes 16

  # Beside a sid that was minted in this very request. The plug takes it out again before the response is sent, so only
  # the dead render of that request sees it, never the cookie.
  @minted_key "durable_stash_minted"

  @type sid :: String.t()

  @doc "128 random bits that fit into a URL."
  @spec mint() :: sid()
  def mint, do: Base.url_encode64(:crypto.strong_rand_bytes(@random_bytes), padding: false)

  @doc "Whether a term can serve as a sid: UTF-8 text of 1 to 512 bytes."
  @spec valid?(term()) :: boolean()
  def valid?(sid), do: is_binary(sid) and byte_size(sid) in 1..@max_bytes and String.valid?(sid)

  @doc "The sid in a session, if a valid one is there."
  @spec fetch(term(), key :: String.t()) :: {:ok, sid()} | :error
  def fetch(session, key) do
    case session do
      %{^key => sid} -> if valid?(sid), do: {:ok, sid}, else: :error
      _without -> :error
    end
  end

  @doc "Whether the plug minted this sid in this very request."
  @spec minted?(term(), sid()) :: boolean()
  def minted?(%{@minted_key => minted}, sid), do: minted == sid
  def minted?(_session, _sid), do: false

  @doc "The key of the mark in the session."
  @spec minted_key() :: String.t()
  def minted_key, do: @minted_key
end
