defmodule DurableStash.Standins.MixProject do
  use Mix.Project

  def project do
    [
      app: :durable_stash_standins,
      version: "0.0.0",
      elixir: "~> 1.18",
      deps: []
    ]
  end

  def application do
    [
      mod: {DurableStash.Standins, []},
      extra_applications: [:logger, :crypto]
    ]
  end
end
