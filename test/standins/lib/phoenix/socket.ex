defmodule Phoenix.LiveView.Socket do
  @moduledoc false

  @derive {Inspect, only: [:id, :view, :assigns, :transport_pid]}
  defstruct id: nil,
            endpoint: nil,
            view: nil,
            parent_pid: nil,
            root_pid: nil,
            router: nil,
            assigns: %{__changed__: %{}},
            private: %{live_temp: %{}},
            redirected: nil,
            host_uri: nil,
            transport_pid: nil,
            sticky?: false

  @type t :: %__MODULE__{}
end
