defmodule DurableStash.Browser do
  @moduledoc """
  A browser: its cookies, and the way to load a page with them.
  """

  use Agent

  alias DurableStash.Browser.Page
  alias Phoenix.ConnTest

  @endpoint SomeAppWeb.Endpoint

  @doc false
  def start_link(_options), do: Agent.start_link(fn -> nil end)

  @doc "Another browser."
  def start, do: ExUnit.Callbacks.start_supervised!(__MODULE__, id: make_ref())

  @doc """
  Loads a page: the HTTP request, whose dead render runs in the calling process, as it runs in a web server's.

  `script: false` is a page without LiveStash's client script.
  """
  def load(browser, path, options \\ []) do
    conn = get(browser, path)
    html = ConnTest.html_response(conn, 200)
    [_all, id, attributes] = Regex.run(~r/<div id="(phx-[^"]+)"([^>]*)>/, html)

    tokens =
      for name <- ["session", "static"], into: %{} do
        [_all, token] = Regex.run(~r/data-phx-#{name}="([^"]+)"/, attributes)
        {name, token}
      end

    %Page{
      endpoint: @endpoint,
      path: path,
      id: id,
      tokens: tokens,
      session: session(browser),
      memory: if(Keyword.get(options, :script, true), do: %{}),
      html: html
    }
  end

  @doc "The response to a request with the browser's cookies, which it then replaces."
  def get(browser, path) do
    conn = ConnTest.dispatch(recycled(browser), @endpoint, :get, path)
    Agent.update(browser, fn _last -> conn end)
    conn
  end

  @doc "What the browser's session cookie holds."
  def session(browser) do
    options = Plug.Session.init(@endpoint.session_options())

    %{recycled(browser) | secret_key_base: @endpoint.config(:secret_key_base)}
    |> Plug.Session.call(options)
    |> Plug.Conn.fetch_session()
    |> Plug.Conn.get_session()
  end

  defp recycled(browser) do
    case Agent.get(browser, & &1) do
      nil -> ConnTest.build_conn()
      last -> ConnTest.recycle(last)
    end
  end
end
