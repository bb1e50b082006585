defmodule Plug.Test do
  @moduledoc false

  alias Plug.Conn

  def conn(method, path) when is_atom(method) and is_binary(path),
    do: %Conn{resp_headers: [{"cache-control", "max-age=0, private, must-revalidate"}]}

  def init_test_session(%Conn{} = conn, session),
    do: %{conn | private: Map.put(conn.private, :plug_session, session)}
end
