defmodule DurableStash.Application do
  @moduledoc false
  # The adapter has no child_spec/1: LiveStash would start its children before the application that configures them, and
  # stop them too late for a flush. At prep_stop no LiveView is alive any more, so what is accepted then is all there is.

  use Application

  alias DurableStash.Boundary
  alias DurableStash.Config
  alias DurableStash.Engine
  alias DurableStash.Log
  alias DurableStash.Native
  alias DurableStash.Peers

  # In the same environment, and not the engine's: how Rustler builds the library, and what the VM adds.
  @others [Native, :included_applications]

  @impl Application
  def start(_type, _args) do
    options = Keyword.drop(Application.get_all_env(:durable_stash), @others)
    # Outside of the supervisor a bad option is the start's one and only error.
    _valid = Config.new!(options)
    :ok = Log.start()
    :ok = Boundary.start_numbering()

    Supervisor.start_link([Peers, {Engine, options}],
      strategy: :one_for_one,
      name: DurableStash.Supervisor
    )
  end

  @impl Application
  def prep_stop(state) do
    _reported_by_the_engine = Engine.drain()
    state
  end
end
