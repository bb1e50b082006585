defmodule Plug.Conn do
  @moduledoc false

  defmodule AlreadySentError do
    @moduledoc false
    defexception message: "the response was already sent"
  end

  defstruct private: %{}, resp_headers: [], resp_body: nil, state: :unset, status: nil

  @type t :: %__MODULE__{}

  def get_session(%__MODULE__{private: %{plug_session: session}}), do: session

  def get_session(%__MODULE__{}),
    do: raise(ArgumentError, "session not fetched, call fetch_session/2")

  def get_session(conn, key), do: conn |> get_session() |> Map.get(key)

  def put_session(conn, key, value) when is_binary(key),
    do: update_session(conn, &Map.put(&1, key, value))

  def delete_session(conn, key) when is_binary(key),
    do: update_session(conn, &Map.delete(&1, key))

  def put_resp_header(%__MODULE__{state: :sent}, _key, _value), do: raise(AlreadySentError)

  def put_resp_header(%__MODULE__{} = conn, key, value) when is_binary(key) and is_binary(value),
    do: %{conn | resp_headers: List.keystore(conn.resp_headers, key, 0, {key, value})}

  def get_resp_header(%__MODULE__{} = conn, key),
    do: for({^key, value} <- conn.resp_headers, do: value)

  def register_before_send(%__MODULE__{state: :sent}, _callback), do: raise(AlreadySentError)

  def register_before_send(%__MODULE__{} = conn, callback) when is_function(callback, 1),
    do: update_in(conn.private[:before_send], &[callback | &1 || []])

  # Callbacks run newest first.
  def send_resp(%__MODULE__{state: :sent}, _status, _body), do: raise(AlreadySentError)

  def send_resp(%__MODULE__{} = conn, status, body) do
    conn = Enum.reduce(conn.private[:before_send] || [], conn, & &1.(&2))
    %{conn | state: :sent, status: status, resp_body: body}
  end

  defp update_session(%__MODULE__{state: :sent}, _fun), do: raise(AlreadySentError)

  defp update_session(%__MODULE__{} = conn, fun) do
    session = fun.(get_session(conn))

    %{
      conn
      | private: Map.merge(conn.private, %{plug_session: session, plug_session_info: :write})
    }
  end
end
