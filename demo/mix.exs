defmodule StashDemo.MixProject do
  use Mix.Project

  def project do
    [
      app: :stash_demo,
      version: "1.0.0",
      elixir: "~> 1.19",
      start_permanent: true,
      deps: deps()
    ]
  end

  def application do
    [
      mod: {StashDemo.Application, []},
      extra_applications: [:logger]
    ]
  end

  defp deps do
    [
      {:durable_stash, path: ".."},
      {:live_stash, "~> 1.0"},
      {:phoenix, "~> 1.8"},
      {:phoenix_live_view, "~> 1.1"},
      {:phoenix_pubsub, "~> 2.1"},
      {:bandit, "~> 1.5"},
      {:jason, "~> 1.4"}
    ]
  end
end
