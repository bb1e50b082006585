defmodule StashDemoWeb.Endpoint do
  @moduledoc false

  use Phoenix.Endpoint, otp_app: :stash_demo

  @session [store: :cookie, key: "_stash_demo", signing_salt: "the demo's session", same_site: "Lax"]

  # The packages' own scripts, by script tag: there is no bundler. LiveStash's is not in its priv/.
  @live_stash_js Path.join(Mix.Project.deps_paths()[:live_stash], "assets/js")

  socket "/live", Phoenix.LiveView.Socket, websocket: [connect_info: [session: @session]], longpoll: false

  plug Plug.Static, at: "/", from: {:stash_demo, "priv/static"}, only: ~w(demo.css demo.js favicon.svg)
  plug Plug.Static, at: "/vendor", from: {:phoenix, "priv/static"}, only: ~w(phoenix.js)
  plug Plug.Static, at: "/vendor", from: {:phoenix_live_view, "priv/static"}, only: ~w(phoenix_live_view.js)
  plug Plug.Static, at: "/vendor", from: @live_stash_js, only: ~w(live-stash.js)

  plug Plug.Session, @session
  plug StashDemoWeb.Router
end
