defmodule DurableStash do
  @external_resource Path.expand("../README.md", __DIR__)
  @moduledoc @external_resource |> File.read!() |> String.split("<!-- MDOC -->") |> Enum.fetch!(1)

  @behaviour LiveStash.Adapter

  alias DurableStash.Boundary
  alias DurableStash.Context
  alias DurableStash.Engine
  alias DurableStash.Error
  alias DurableStash.Hook
  alias DurableStash.Host
  alias DurableStash.Options
  alias DurableStash.Peers
  alias DurableStash.Recovery
  alias DurableStash.Schema
  alias DurableStash.SessionKey
  alias DurableStash.Standing
  alias DurableStash.Tab
  alias DurableStash.Telemetry
  alias DurableStash.Write
  alias Phoenix.Component
  alias Phoenix.LiveView
  alias Phoenix.LiveView.Socket

  @timeout 5_000

  @forget "DurableStash.forget/2"
  @forget_schema [
    session_id_key: {"sid", :string, "a string, the session id's key in the session"},
    engine: {Engine, :atom, "the name of an engine"},
    secret: {nil, {:nullable, :secret}, "a binary of at least 32 bytes, or a list of them with the current one first"},
    timeout: {@timeout, :any, "a number of milliseconds, or :infinity"}
  ]

  # -- Without LiveStash ------------------------------------------------------------------------------------------

  @doc """
  Gives a LiveView a stash without LiveStash, which refuses LiveViews that `live_render` nests in others.

      defmodule MyAppWeb.ChatLive do
        use MyAppWeb, :live_view
        use DurableStash, stored_keys: [:room, message: :reconnect]

  The options are the same. Then call `DurableStash.recover_state/1`, `stash/1` and `reset_stash/1` in the place of LiveStash's.

  `:session` keys are the module's: two LiveViews of one module in a page share them. `:reconnect` keys are the tab's, known by the
  `id` that `live_render` is given; the LiveView around has to have a stash for that, or the mount raises an `ArgumentError`. A nested
  LiveView that is taken out of the page and put in again starts blank, unless the page has reconnected since it was loaded. A sticky
  LiveView is in no tab, so a `:reconnect` key of one raises too.
  """
  defmacro __using__(options) do
    quote do
      on_mount({DurableStash, unquote(options)})
    end
  end

  @doc false
  @spec on_mount(keyword(), term(), map(), Socket.t()) :: {:cont, Socket.t()}
  def on_mount(options, _params, session, socket) do
    socket = init_stash(socket, session, options)

    if options[:auto_stash] == true and LiveView.connected?(socket),
      do: {:cont, stash_after_render(socket)},
      else: {:cont, socket}
  end

  # A view may ask for its stash twice, by itself and by its live session: here as everywhere the later one counts.
  defp stash_after_render(socket) do
    socket
    |> LiveView.detach_hook(:durable_stash_auto_stash, :after_render)
    |> LiveView.attach_hook(:durable_stash_auto_stash, :after_render, &stash/1)
  end

  # -- LiveStash.Adapter ------------------------------------------------------------------------------------------

  @doc """
  Prepares a LiveView that is being mounted. LiveStash calls it.

  Raises an `ArgumentError` that names the option when one of `use LiveStash, adapter: DurableStash, ...` is bad.
  """
  @impl LiveStash.Adapter
  @spec init_stash(Socket.t(), map(), keyword()) :: Socket.t()
  def init_stash(socket, session, options) do
    context = Context.new(Options.new!(options), socket, session)

    context = %{claimed(context) | mounting?: false}

    socket
    |> Tab.announce(context.tab)
    |> Context.put(context)
    |> Hook.attach()
    |> Peers.attach()
    |> Host.attach(context)
  end

  @doc """
  Hands the stored assigns that changed to the engine and returns, with `durability: :await` once they are saved. Use
  `LiveStash.stash/1`.

  What the engine did not take goes out again with the next stash.
  """
  @impl LiveStash.Adapter
  @spec stash(Socket.t()) :: Socket.t()
  def stash(socket), do: written(socket, Write.stash(Context.fetch!(socket), socket.assigns))

  @doc """
  Assigns what is stored for this LiveView. Use `LiveStash.recover_state/1`.

  What it does not bring back are the view's defaults: the terms that the mount assigns before and after it, until the first render or
  stash. While a key has its default, a stash sets it only where nothing is stored, so that it takes the place of no other tab's value.

    * `{:recovered, socket}`: at least one assign came back;
    * `{:not_found, socket}`: nothing is stored;
    * `{:error, socket}`: the store did not answer, or a migration failed. It was logged. What is stored is not known, so
      from now on a stash sends only the keys that have changed since this mount: the defaults do not replace what is
      stored. After a migration that failed, the first key that changes begins the new version's slice, and the older
      version's is not migrated any more.
  """
  @impl LiveStash.Adapter
  @spec recover_state(Socket.t()) :: {:recovered | :not_found | :error, Socket.t()}
  def recover_state(socket) do
    context = Context.fetch!(socket)

    Telemetry.span(:recover, context, fn ->
      case Recovery.run(context) do
        {:recovered, found, context} ->
          socket = recovered(socket, found, context)
          metadata = %{result: :recovered, stale?: found.stale?, from: found.from}
          {{:recovered, socket}, %{keys: map_size(found.values)}, metadata}

        :not_found ->
          socket = found(socket, context |> Peers.recovered([]) |> Context.found(socket.assigns))
          {{:not_found, socket}, %{keys: 0}, %{result: :not_found}}

        {:error, error} ->
          socket = socket |> Context.put(Context.unrecovered(context, socket.assigns)) |> Hook.await_defaults()
          {{:error, socket}, %{keys: 0}, %{result: :error, kind: error.kind, error: error}}
      end
    end)
  end

  @doc """
  Removes what is stored for this view and this tab. Use `LiveStash.reset_stash/1`.

  The assigns stay; the next stash stores them again.
  """
  @impl LiveStash.Adapter
  @spec reset_stash(Socket.t()) :: Socket.t()
  def reset_stash(socket), do: written(socket, Write.reset(Context.fetch!(socket)))

  # -- Beyond LiveStash -------------------------------------------------------------------------------------------

  @doc """
  What has become of everything this LiveView stashed, and of what it recovered before that was saved.

    * `:saved`: the store has it;
    * `:pending`: the engine has had some of it for less than 200 ms, and is saving it;
    * `:saving`: the same, for longer;
    * `:unsaved`: some of it is neither, and the next stash sends it again, unless its tab has mounted again or a value
      cannot be stored; or the store has not taken it for five seconds, which the engine goes on trying.

  Reads a few counters and asks nobody.
  """
  @spec status(Socket.t()) :: :saved | :pending | :saving | :unsaved
  def status(%Socket{} = socket) do
    {status, _lasts} = Standing.of(Context.fetch!(socket))
    status
  end

  @doc """
  Waits until everything this LiveView stashed or recovered so far is saved, at most `timeout` ms (or `:infinity`). Call it in the LiveView's process.

  `{:error, %DurableStash.Error{kind: :timeout}}` says that the outcome is open: the engine goes on saving.
  """
  @spec flush(Socket.t(), timeout()) :: :ok | {:error, Error.t()}
  def flush(%Socket{} = socket, timeout \\ @timeout) do
    context = Context.fetch!(socket)
    Boundary.check_timeout!(timeout, "DurableStash.flush/2: the timeout")

    Telemetry.span(:flush, context, fn ->
      case Write.flush(context, timeout) do
        :ok ->
          {:ok, %{}, %{result: :saved}}

        {:error, error} ->
          {{:error, error}, %{}, %{result: :error, kind: error.kind, error: error}}
      end
    end)
  end

  @doc """
  Stashes, and then navigates as `Phoenix.LiveView.push_navigate/2` does.

  `auto_stash` runs after a render, and LiveView renders no more once a callback has navigated or redirected: what that
  callback changed would be lost. This and `redirect/2` save it. A patch is followed by a render, and needs neither.
  """
  @spec push_navigate(Socket.t(), keyword()) :: Socket.t()
  def push_navigate(%Socket{} = socket, options), do: socket |> stash() |> LiveView.push_navigate(options)

  @doc """
  Stashes, and then redirects as `Phoenix.LiveView.redirect/2` does.

  The next page may be rendered by another node, which finds what is in the store by then: `flush/2` before it makes sure.
  """
  @spec redirect(Socket.t(), keyword()) :: Socket.t()
  def redirect(%Socket{} = socket, options), do: socket |> stash() |> LiveView.redirect(options)

  @doc """
  Deletes everything that is stored for a browser session: for the logout, together with the session itself.

  Takes a LiveView's socket, or a `Plug.Conn` with a fetched session, or a session map. A session without an id has nothing
  stored, so call this before `clear_session/1` or whatever else drops or renews the session. LiveViews that live on may
  stash again, so end them first. What views with a `secret:` of their own stored is deleted under that secret only: pass
  it as `:secret`, once per secret, besides the call without it.

  ## Options

    * `:session_id_key`: the session id's key, `"sid"` by default. A socket knows its own;
    * `:engine`: the engine's name, `DurableStash.Engine` by default. A socket knows its own;
    * `:secret`: the views' own secret, if they have one. A socket knows its own;
    * `:timeout`: how long to wait, in ms or `:infinity`, #{@timeout} by default.

  Raises an `ArgumentError` that names a bad option, or says what it was given instead of a session.
  """
  @spec forget(Plug.Conn.t() | Socket.t() | map(), keyword()) :: :ok | {:error, Error.t()}
  def forget(conn_or_session_or_socket, options \\ [])

  def forget(%Socket{} = socket, options) do
    %{sid: sid, options: view_options} = Context.fetch!(socket)
    options = forget_options!(options, Keyword.take(@forget_schema, [:timeout]))
    forget(sid, view_options.engine, view_options.secret, options[:timeout])
  end

  def forget(%Plug.Conn{} = conn, options), do: forget(Plug.Conn.get_session(conn), options)

  def forget(%{} = session, options) when not is_struct(session) do
    options = forget_options!(options, @forget_schema)

    case SessionKey.fetch(session, options[:session_id_key]) do
      {:ok, sid} -> forget(sid, options[:engine], options[:secret], options[:timeout])
      :error -> :ok
    end
  end

  def forget(other, _options) do
    given = if is_struct(other), do: "a #{inspect(other.__struct__)}", else: "something else"

    raise ArgumentError,
          "#{@forget} takes a Phoenix.LiveView.Socket, a Plug.Conn or a session map with text keys, got: #{given}"
  end

  defp forget_options!(options, schema) do
    options = Schema.validate!(options, schema, @forget)
    Boundary.check_timeout!(options[:timeout], "#{@forget}: the option :timeout")
    options
  end

  # Without an engine, or a session id, the mount goes on: the first stash, or recovery, tries again.
  defp claimed(%{tab: %{mount: :dead}} = context), do: context

  defp claimed(context) do
    case Context.ready(context) do
      {:ok, ready} ->
        ready

      {:error, error, _failed} ->
        Telemetry.log(:mount, context, error)
        context
    end
  end

  defp forget(nil, _engine, _secrets, _timeout), do: :ok

  defp forget(sid, engine, secrets, timeout) do
    Telemetry.span(:forget, engine, fn ->
      case Engine.forget(engine, sid, secrets, timeout) do
        :ok ->
          {:ok, %{}, %{result: :forgotten}}

        {:error, error} ->
          {{:error, error}, %{}, %{result: :error, kind: error.kind, error: error}}
      end
    end)
  end

  defp written(socket, :unchanged), do: socket
  defp written(socket, {:written, context}), do: socket |> Context.put(context) |> Hook.written()

  # What is assigned after this is what is kept: assign/3 keeps the old term where it is equal. Migrated values are new to
  # the store, so they are not.
  defp recovered(socket, found, context) do
    socket = Component.assign(socket, found.values)
    kept = Map.merge(context.kept, Map.take(socket.assigns, found.stored))
    migrated = Map.keys(found.values) -- found.stored
    context = Peers.recovered(%{context | kept: kept}, found.stored)
    found(socket, Context.found(context, socket.assigns, migrated))
  end

  defp found(socket, context), do: socket |> Context.put(context) |> Hook.await_defaults() |> Hook.recovered()
end
