defmodule LiveStash.Application do
  @moduledoc false
  use Application

  @impl Application
  def start(_type, _args) do
    children =
      for adapter <- Application.get_env(:live_stash, :adapters, []),
          Code.ensure_loaded?(adapter),
          function_exported?(adapter, :child_spec, 1),
          do: adapter

    Supervisor.start_link(children, strategy: :one_for_one, name: LiveStash.Supervisor)
  end
end
