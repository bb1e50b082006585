defmodule StashDemoWeb.Layouts do
  @moduledoc false

  use Phoenix.Component

  def root(assigns) do
    ~H"""
    <!DOCTYPE html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="description" content="A Phoenix LiveView whose state outlives its server." />
        <meta name="csrf-token" content={Plug.CSRFProtection.get_csrf_token()} />
        <title>Try to lose something · DurableStash</title>
        <link rel="icon" href="/favicon.svg" type="image/svg+xml" />
        <link rel="stylesheet" href="/demo.css" />
        <script defer src="/vendor/phoenix.js">
        </script>
        <script defer src="/vendor/phoenix_live_view.js">
        </script>
        <script type="module" src="/demo.js">
        </script>
      </head>
      <body>
        {@inner_content}
      </body>
    </html>
    """
  end
end
