defmodule DurableStash.MixProject do
  use Mix.Project

  @version "0.1.0"
  @guides ~w(getting_started scopes_and_tabs versions_and_deploys testing s3 production metrics migrating performance reliability)
          |> Enum.map(&"docs/#{&1}.md")

  def project do
    [
      app: :durable_stash,
      version: @version,
      elixir: "~> 1.18",
      elixirc_paths: elixirc_paths(Mix.env()),
      test_ignore_filters: [
        &String.starts_with?(&1, [
          "test/standins/",
          "test/support/",
          "test/shared/",
          "test/live_view/support/",
          "test/kills/"
        ])
      ],
      build_path: if(standins?(), do: "_build/standins", else: "_build"),
      start_permanent: Mix.env() == :prod,
      deps: deps(),
      aliases: aliases(),
      name: "DurableStash",
      description: description(),
      package: package(),
      docs: docs()
    ]
  end

  def application do
    [
      mod: {DurableStash.Application, []},
      extra_applications: [:logger, :crypto]
    ]
  end

  def cli do
    [preferred_envs: [check: :test, ci: :test]]
  end

  # Where Hex cannot be reached, one path dependency offers what this library calls of the real
  # packages. Nothing under lib/ knows which of the two it runs on.
  defp deps do
    if standins?() do
      [{:durable_stash_standins, path: "test/standins"}]
    else
      [
        {:live_stash, "~> 1.0"},
        {:phoenix_live_view, "~> 1.1"},
        {:plug, "~> 1.15"},
        {:telemetry, "~> 1.0"},
        {:rustler, "~> 0.39", runtime: false},
        {:igniter, "~> 0.6", optional: true, runtime: false},
        {:ex_doc, "~> 0.38", only: :dev, runtime: false}
      ]
    end
  end

  defp standins?, do: System.get_env("DURABLE_STASH_STANDINS") == "1"

  defp elixirc_paths(:test), do: ["lib", "test/support", "test/shared", "test/kills"]
  defp elixirc_paths(_env), do: ["lib"]

  defp aliases do
    [
      check: ["format --check-formatted", "compile --warnings-as-errors"],
      ci: ["check", "test --warnings-as-errors"]
    ]
  end

  defp description do
    "Keeps the assigns of a Phoenix LiveView alive across reconnects, crashes, redeploys and node loss: " <>
      "a LiveStash adapter that commits to S3-compatible storage with compare-and-swap."
  end

  defp package do
    [
      licenses: ["Apache-2.0"],
      links: %{},
      files:
        ~w(lib native/*/src native/*/build.rs native/*/benches native/*/Cargo.toml native/*/clippy.toml Cargo.toml Cargo.lock
           .formatter.exs mix.exs README.md CHANGELOG.md LICENSE docs/*.md)
    ]
  end

  defp docs do
    [
      main: "DurableStash",
      source_ref: "v#{@version}",
      extras: @guides ++ ["CHANGELOG.md", "LICENSE"],
      groups_for_extras: [Guides: @guides],
      assets: %{"docs/images" => "docs/images"},
      groups_for_modules: [
        "In a Phoenix application": [
          DurableStash,
          DurableStash.Component,
          DurableStash.Components,
          DurableStash.Plug,
          DurableStash.Telemetry
        ],
        "Running engines": [DurableStash.Engine, DurableStash.Config, DurableStash.Error],
        Testing: [DurableStash.TestBackend]
      ]
    ]
  end
end
