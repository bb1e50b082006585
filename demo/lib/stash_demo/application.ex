defmodule StashDemo.Application do
  @moduledoc false

  use Application

  @impl Application
  def start(_type, _args) do
    StashDemo.Version.load()

    Supervisor.start_link(
      [
        {Phoenix.PubSub, name: StashDemo.PubSub},
        StashDemo.Figures,
        StashDemoWeb.Endpoint
      ],
      strategy: :one_for_one,
      name: StashDemo.Supervisor
    )
  end
end
