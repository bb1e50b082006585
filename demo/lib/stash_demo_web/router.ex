defmodule StashDemoWeb.Router do
  @moduledoc false

  use Phoenix.Router

  import DurableStash.Plug
  import Phoenix.Controller, only: [accepts: 2, protect_from_forgery: 2, put_root_layout: 2]
  import Phoenix.LiveView.Router

  pipeline :browser do
    plug :accepts, ["html"]
    plug :fetch_session
    plug :ensure_session_id
    plug :protect_from_forgery
    plug :put_root_layout, html: {StashDemoWeb.Layouts, :root}
  end

  scope "/" do
    pipe_through :browser

    live_session :default do
      live "/", StashDemoWeb.PageLive
      live "/pad", StashDemoWeb.PadLive
    end
  end
end
