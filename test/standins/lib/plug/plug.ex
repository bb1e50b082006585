defmodule Plug do
  @moduledoc false

  @type opts :: term()

  @callback init(opts()) :: opts()
  @callback call(Plug.Conn.t(), opts()) :: Plug.Conn.t()
end
