import Config

config :live_stash, adapters: [DurableStash]

config :stash_demo, StashDemoWeb.Endpoint,
  adapter: Bandit.PhoenixAdapter,
  url: [host: "localhost"],
  check_origin: ["//localhost", "//127.0.0.1"],
  render_errors: [formats: [html: StashDemoWeb.ErrorHTML], layout: false],
  pubsub_server: StashDemo.PubSub,
  live_view: [signing_salt: "the demo's live view"],
  server: true

config :phoenix, :json_library, Jason
config :logger, level: :info
