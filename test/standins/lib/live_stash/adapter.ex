defmodule LiveStash.Adapter do
  @moduledoc false

  alias Phoenix.LiveView.Socket

  @type recovery_status :: :recovered | :not_found | :new | :error

  @callback init_stash(Socket.t(), session :: keyword(), options :: keyword()) :: Socket.t()
  @callback stash(Socket.t()) :: Socket.t()
  @callback recover_state(Socket.t()) :: {recovery_status(), Socket.t()}
  @callback reset_stash(Socket.t()) :: Socket.t()
  @callback child_spec(args :: term()) :: Supervisor.child_spec()
  @optional_callbacks child_spec: 1
end
