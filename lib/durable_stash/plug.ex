defmodule DurableStash.Plug do
  @schema [
    session_id_key: {"sid", :string, "a string, the session id's key in the session"},
    no_store: {true, :boolean, "a boolean, whether to send `cache-control: no-store`"}
  ]

  @moduledoc """
  Gives every browser session an id.

  Put it into the browser pipeline, after `:fetch_session`:

      import DurableStash.Plug

      pipeline :browser do
        plug :accepts, ["html"]
        plug :fetch_session
        plug :ensure_session_id
        ...
      end

  It is also a module plug: `plug DurableStash.Plug`.

  An id that is there and valid (UTF-8 text of 1 to 512 bytes) stays. A value that is no text is the application's own, and
  raises an `ArgumentError`: take another `:session_id_key`, here and in the views. Otherwise 128 random bits are minted and put into the
  session; the dead render of that very request is told, so that a new visitor, or a crawler that keeps no cookies, costs
  the store nothing.

  The response gets `cache-control: no-store`: a page from the HTTP cache ("duplicate tab", "back") comes with the LiveView
  id of the tab that it was loaded in, and two tabs with one id would share their `:reconnect` assigns. A later plug or
  controller may set the header to something else.

  ## Options

  #{DurableStash.Schema.table(@schema)}
  """

  @behaviour Plug

  alias DurableStash.Schema
  alias DurableStash.SessionKey
  alias Plug.Conn

  @doc "Validates the options. Raises an `ArgumentError` that names a bad one."
  @impl Plug
  @spec init(keyword()) :: keyword()
  def init(options), do: Schema.validate!(options, @schema, "plug DurableStash.Plug")

  @doc "Ensures the session id, with options from `init/1`."
  @impl Plug
  @spec call(Conn.t(), keyword()) :: Conn.t()
  def call(conn, options) do
    conn
    |> ensure(Keyword.fetch!(options, :session_id_key))
    |> forbid_cache(Keyword.fetch!(options, :no_store))
  end

  @doc """
  The function plug. Raises as `Plug.Conn.get_session/1` does when the session was not fetched.
  """
  @spec ensure_session_id(Conn.t(), keyword()) :: Conn.t()
  def ensure_session_id(conn, options \\ []), do: call(conn, init(options))

  defp ensure(conn, key) do
    case SessionKey.fetch(Conn.get_session(conn), key) do
      {:ok, _sid} ->
        conn

      :error ->
        check_ours!(Conn.get_session(conn, key), key)
        mint(conn, key)
    end
  end

  # What is no text was put there by the application, which would miss it.
  defp check_ours!(value, _key) when is_nil(value) or is_binary(value), do: :ok

  defp check_ours!(_value, key) do
    raise ArgumentError,
          "plug DurableStash.Plug: the session has a value under #{inspect(key)} that is no text, so it is not " <>
            "DurableStash's. Give the plug, and the views, another :session_id_key"
  end

  # Callbacks run newest first, so the mark is gone before the session that holds it is written.
  defp mint(conn, key) do
    sid = SessionKey.mint()

    conn
    |> Conn.put_session(key, sid)
    |> Conn.put_session(SessionKey.minted_key(), sid)
    |> Conn.register_before_send(&Conn.delete_session(&1, SessionKey.minted_key()))
  end

  defp forbid_cache(conn, true), do: Conn.put_resp_header(conn, "cache-control", "no-store")
  defp forbid_cache(conn, false), do: conn
end
