defmodule DurableStash.Browser.Page do
  @moduledoc """
  A page in a browser tab: what the server rendered into it, and what its memory holds from one connection to the next.

  `connect/2` mounts it, again and again. What cannot happen to `Phoenix.LiveViewTest`'s views happens to this one: it
  rejoins with any count of mounts, lies about its memory, outlives its LiveView, or leaves one behind.
  """

  alias DurableStash.Browser.Connection

  @enforce_keys [:endpoint, :path, :id, :tokens, :session, :memory, :html]
  defstruct [
    :endpoint,
    :path,
    :id,
    :tokens,
    :session,
    :memory,
    :html,
    :connection,
    :view,
    :pushed,
    mounts: 0,
    join: "url"
  ]

  @type t :: %__MODULE__{
          endpoint: module(),
          path: String.t(),
          # The LiveView's, signed in the tokens.
          id: String.t(),
          tokens: %{String.t() => String.t()},
          # The cookie session, as it was when the page was loaded.
          session: map(),
          # What LiveStash's client script keeps. None where it is not loaded.
          memory: map() | nil,
          # What the dead render gave.
          html: String.t(),
          connection: pid() | nil,
          view: pid() | nil,
          # What the last mount pushed.
          pushed: [[term()]] | nil,
          mounts: non_neg_integer(),
          # As what the page's URL is sent: "redirect" once there was a live navigation. A nested LiveView has none.
          join: String.t() | nil
        }

  @doc """
  Mounts the page: its first mount, or a rejoin over a new connection. The old connection, if there is one, is not closed.

  Raises when the join is refused, or when the LiveView does not survive it. `params` are added to the connect params, and
  replace some; `nil` sends none at all.
  """
  @spec connect(t(), map() | nil) :: t()
  def connect(%__MODULE__{} = page, params \\ %{}) do
    url = "http://www.example.com" <> page.path
    payload = if page.join, do: Map.put(page.tokens, page.join, url), else: page.tokens
    payload = put_params(payload, page, params)

    case Connection.open(page.endpoint, "lv:" <> page.id, payload, page.session) do
      {:ok, connection, view, pushed} ->
        memory = remember(page.memory, pushed)

        %{
          page
          | connection: connection,
            view: view,
            pushed: pushed,
            memory: memory,
            mounts: page.mounts + 1
        }

      refused ->
        raise "the page could not join: #{inspect(refused)}"
    end
  end

  @doc "Mounts the LiveView that is nested in this one under the id."
  @spec nested(t(), String.t(), map()) :: t()
  def nested(%__MODULE__{} = page, id, params \\ %{}) do
    [_all, session, static] =
      Regex.run(~r/<div id="#{id}" data-phx-session="([^"]+)" data-phx-static="([^"]*)"/, html(page))

    static = if static != "", do: static
    child = %{page | id: id, tokens: %{"session" => session, "static" => static}, join: nil, mounts: page.mounts - 1}
    connect(child, params)
  end

  @doc "An event of the component with this number, which counts them in the order in which they were rendered."
  @spec send_component_event(t(), pos_integer(), String.t(), map()) :: t()
  def send_component_event(%__MODULE__{} = page, component, name, value) do
    :ok = Connection.event(page.connection, name, value, component)
    page
  end

  @doc "Goes to another page of the same live session, as `push_navigate` does."
  @spec navigate(t(), String.t()) :: t()
  def navigate(%__MODULE__{} = page, path) do
    :ok = Connection.leave(page.connection)
    connect(%{page | path: path, join: "redirect", mounts: 0})
  end

  @doc "Follows a LiveView that has navigated, which ended it."
  @spec follow(t(), String.t()) :: t()
  def follow(%__MODULE__{} = page, path) do
    monitor = Process.monitor(page.view)
    receive do: ({:DOWN, ^monitor, :process, _view, _reason} -> :ok)
    connect(%{page | path: path, join: "redirect", mounts: 0})
  end

  @doc "What the page shows now, whole."
  @spec html(t()) :: String.t()
  def html(%__MODULE__{connection: connection}), do: Connection.html(connection)

  @doc "The connection is lost, and the server knows: the LiveView ends."
  @spec disconnect(t()) :: t()
  def disconnect(%__MODULE__{} = page) do
    monitor = Process.monitor(page.view)
    Connection.close(page.connection)
    receive do: ({:DOWN, ^monitor, :process, _view, {:shutdown, :closed}} -> page)
  end

  @doc "A second tab with the first one's page out of the HTTP cache: the same id and tokens, and a memory of its own."
  @spec duplicate(t()) :: t()
  def duplicate(%__MODULE__{} = page) do
    %{page | memory: if(page.memory, do: %{}), mounts: 0, connection: nil, view: nil, pushed: nil}
  end

  @doc "An event. Returns the page once the LiveView has handled it."
  @spec send_event(t(), String.t(), map()) :: t()
  def send_event(%__MODULE__{} = page, name, value \\ %{}) do
    :ok = Connection.event(page.connection, name, value)
    page
  end

  @doc "Assigns and stashes."
  @spec stash(t(), map()) :: t()
  def stash(page, changes), do: send_event(page, "stash", changes)

  @doc "Stashes, and waits until it is saved."
  @spec save(t(), map()) :: t()
  def save(page, changes) do
    page = page |> stash(changes) |> send_event("flush")
    %{"flushed" => "saved"} = shown(page)
    page
  end

  @doc "An event that the LiveView does not survive."
  @spec crash(t()) :: t()
  def crash(%__MODULE__{} = page) do
    {:exit, _reason} = Connection.event(page.connection, "raise", %{})
    page
  end

  @doc "What the page shows now: the text of each `<dd>` by its id."
  @spec shown(t()) :: %{String.t() => String.t()}
  def shown(%__MODULE__{connection: nil, html: html}), do: texts(html)
  def shown(%__MODULE__{connection: connection}), do: texts(Connection.html(connection))

  @doc "The nonce that the last mount pushed, if it pushed one."
  @spec nonce(t()) :: String.t() | nil
  def nonce(%__MODULE__{pushed: pushed}) do
    case pushed do
      [["live-stash:init-redis", %{stashId: nonce}]] -> nonce
      [] -> nil
    end
  end

  defp put_params(payload, _page, nil), do: payload

  defp put_params(payload, page, params) do
    script = if page.memory, do: %{"liveStash" => page.memory}, else: %{}
    own = Map.merge(script, %{"_mounts" => page.mounts, "_mount_attempts" => 0})
    Map.put(payload, "params", Map.merge(own, params))
  end

  # The script puts what an adapter's first event carries in the place of all that it kept, as JSON.
  defp remember(nil, _pushed), do: nil

  defp remember(memory, pushed) do
    for ["live-stash:init-" <> _adapter, payload] <- pushed, reduce: memory do
      _replaced -> Map.new(payload, fn {name, value} -> {Atom.to_string(name), value} end)
    end
  end

  defp texts(html) do
    for [_all, id, text] <- Regex.scan(~r{<dd id="([^"]+)">([^<]*)</dd>}, html),
        into: %{},
        do: {id, text}
  end
end
