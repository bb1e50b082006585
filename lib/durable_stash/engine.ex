defmodule DurableStash.Engine do
  @moduledoc """
  Owns one engine: the tokio runtime's sessions over one store.

  The application starts the default one, named `DurableStash.Engine`, from `config :durable_stash`. Start others under a
  supervisor of your own, and name them in the LiveViews that use them (`engine: MyApp.Stashes`):

      children = [
        {DurableStash.Engine, name: MyApp.Stashes, backend: {:disk, path: "/var/lib/my_app"}, secret: secret},
        MyAppWeb.Endpoint
      ]

  The options are those of `DurableStash.Config`, and `:name`. An engine that shuts down accepts nothing more and saves what
  it accepted, for at most `:shutdown_timeout`.

  What saves does so in the native library, and does not end with this process. Where that is killed, whoever is started under its
  name with the same options takes over what goes on there: nothing is lost, and LiveViews notice nothing. With other options it
  drains that first.
  """

  use GenServer

  alias DurableStash.Boundary
  alias DurableStash.Config
  alias DurableStash.EngineLog
  alias DurableStash.Error
  alias DurableStash.Native
  alias DurableStash.RunningEngine
  alias DurableStash.Telemetry

  @default __MODULE__
  # What the supervisor and callers grant beyond the engine's own deadline.
  @margin 5_000
  @longest_drain Boundary.longest_wait() - @margin

  @type name :: atom()

  @doc """
  Starts an engine. Raises an `ArgumentError` for a bad option; a store that cannot be reached does not keep it from
  starting, `health/1` says so.
  """
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link({name, config}) when is_function(config, 0),
    do: GenServer.start_link(__MODULE__, {name, config.()}, name: name)

  def start_link(options), do: start_link(sealed(options))

  @doc false
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(options) do
    {name, config} = sealed(options)

    %{
      id: name,
      start: {__MODULE__, :start_link, [{name, config}]},
      shutdown: config.().shutdown_timeout + @margin
    }
  end

  # Supervisors print the start arguments of their children, which then shows neither secrets nor credentials.
  defp sealed(options) do
    {name, options} = pop_name!(options)
    config = Config.new!(options)
    {name, fn -> config end}
  end

  defp pop_name!(options) do
    {name, rest} = if Keyword.keyword?(options), do: Keyword.pop(options, :name, @default), else: {@default, options}

    if not is_atom(name) or name in [nil, true, false] do
      raise ArgumentError, "DurableStash.Engine: the option :name takes an atom"
    end

    {name, rest}
  end

  @doc """
  Counters since the engine's start: `:gets`, `:puts`, `:commits`, `:conflicts`, `:retries`, `:live_sessions`,
  `:unsaved_bytes` and others, by name.
  """
  @spec stats(name()) :: {:ok, %{atom() => non_neg_integer()}} | {:error, Error.t()}
  def stats(name \\ @default) do
    with {:ok, engine} <- fetch(name),
         do: Boundary.call(fn -> {:ok, Native.engine_stats(engine.resource)} end)
  end

  @doc """
  How the engine fares.

    * `:probing`: the boot probe is asking the store whether its conditional writes can be relied on;
    * `:ready`: it can;
    * `:degraded`: the store cannot be reached; writes queue up and the engine keeps trying;
    * `:refusing`: the store or its configuration cannot be relied on; writes are refused.

  The reason is a sentence for the operator.
  """
  @spec health(name()) ::
          {:ok, {:probing | :ready | :degraded | :refusing, String.t() | nil}}
          | {:error, Error.t()}
  def health(name \\ @default) do
    with {:ok, engine} <- fetch(name),
         do: Boundary.call(fn -> {:ok, Native.engine_health(engine.resource)} end)
  end

  @doc """
  Stops accepting, and saves what was accepted, for at most `timeout` ms. The engine is of no use afterwards: this is for
  shutting down. Returns how much was saved and how much was not.
  """
  @spec drain(name(), timeout :: pos_integer() | :configured) ::
          {:ok,
           %{
             saved_sessions: non_neg_integer(),
             unsaved_sessions: non_neg_integer(),
             unsaved_ops: non_neg_integer()
           }}
          | {:error, Error.t()}
  def drain(name \\ @default, timeout \\ :configured) do
    if timeout != :configured and timeout not in 0..@longest_drain//1 do
      raise ArgumentError,
            "DurableStash.Engine.drain/2: the timeout takes a number of milliseconds, at most " <>
              "#{@longest_drain}, or :configured, got: #{inspect(timeout)}"
    end

    GenServer.call(name, {:drain, timeout}, :infinity)
  catch
    :exit, _reason -> {:error, down()}
  end

  @doc false
  @spec fetch(name()) :: {:ok, RunningEngine.t()} | {:error, Error.t()}
  def fetch(name) do
    with :error <- RunningEngine.fetch(name), do: {:error, down(name)}
  end

  @doc false
  @spec forget(name(), sid :: String.t(), [binary()] | nil, timeout()) ::
          :ok | {:error, Error.t()}
  def forget(name, sid, secrets, timeout) do
    with {:ok, engine} <- fetch(name),
         do: request(timeout, &Native.engine_forget(engine.resource, sid, secrets, &1))
  end

  @doc false
  # Makes a request and waits for its reply.
  @spec request(timeout(), (id :: pos_integer() -> {:ok, reference()} | term())) :: term()
  def request(timeout, start), do: Boundary.request(timeout, start, &Native.request_cancel/1)

  @doc false
  # For DurableStash.TestBackend: the store in memory of this name, made at its first mention.
  @spec test_store(name :: String.t()) :: reference()
  def test_store(name) do
    {:ok, store} = Native.test_store(name)
    store
  end

  @doc false
  @spec dump_test_store(name :: String.t()) :: [{object :: String.t(), body :: binary()}]
  def dump_test_store(name), do: Native.test_store_dump(test_store(name))

  @doc false
  @spec count_test_store(name :: String.t()) :: %{atom() => non_neg_integer()}
  def count_test_store(name), do: Native.test_store_counts(test_store(name))

  @doc false
  @spec script_test_store(name :: String.t(), :reset | {:latency, non_neg_integer()} | term()) ::
          :ok
  def script_test_store(name, :reset), do: Native.test_store_reset(test_store(name))

  def script_test_store(name, {:latency, latency}),
    do: Native.test_store_latency(test_store(name), latency)

  def script_test_store(name, step), do: Native.test_store_script(test_store(name), step)

  # -- The process ------------------------------------------------------------------------------------------------

  @impl GenServer
  def init({name, config}) do
    Process.flag(:trap_exit, true)
    state = %{name: name, config: config, engine: nil, drained: nil, health: :probing}

    case RunningEngine.fetch(name) do
      {:ok, predecessor} ->
        state = observed(%{state | engine: predecessor})
        # Two engines that save for one LiveView would not know which of its values is the newer one.
        if RunningEngine.serves?(predecessor, config), do: {:ok, state}, else: {:ok, state, {:continue, :replace}}

      :error ->
        with {:error, error} <- started(state), do: {:stop, error}
    end
  end

  # Not within init/1, where the supervisor waits. LiveViews find the predecessor meanwhile, which opens no session any more.
  @impl GenServer
  def handle_continue(:replace, state) do
    {_report, state} = drain_once(state, :configured)

    case started(%{state | drained: nil, health: :probing}) do
      {:ok, state} -> {:noreply, state}
      {:error, error} -> {:stop, error, state}
    end
  end

  @impl GenServer
  def handle_call({:drain, timeout}, _from, state) do
    {report, state} = drain_once(state, timeout)
    {:reply, report, state}
  end

  @impl GenServer
  def handle_info({:durable_stash_events, events}, state) do
    Telemetry.engine_events(events, state.name)
    {:noreply, Enum.reduce(events, state, &health_told/2)}
  end

  def handle_info(_other, state), do: {:noreply, state}

  @impl GenServer
  def terminate(_reason, state) do
    drain_once(state, :configured)
    forward_events(state)
    RunningEngine.erase(state.name)
  end

  @impl GenServer
  def format_status(status) do
    # The configuration holds secrets and credentials.
    Map.replace_lazy(status, :state, &Map.take(&1, [:name]))
  end

  defp started(%{name: name, config: config} = state) do
    native = fn -> Native.engine_start(Config.to_native(config, backend(config.backend))) end

    with {:ok, resource} <- Boundary.call(native),
         do: {:ok, observed(%{state | engine: RunningEngine.publish(name, resource, config)})}
  end

  # What changed before this process observed is no event.
  defp observed(%{engine: %{resource: resource}} = state) do
    _without_it_telemetry_is_less = Boundary.call(fn -> Native.engine_observe(resource, self()) end)

    case Boundary.call(fn -> Native.engine_health(resource) end) do
      {:error, %Error{}} -> state
      {health, reason} -> health_told(%{event: :health, metadata: %{state: health, reason: reason}}, state)
    end
  end

  defp health_told(%{event: :health, metadata: %{state: health} = metadata}, state) do
    EngineLog.health(state.name, state.health, health, metadata[:reason])
    %{state | health: health}
  end

  defp health_told(_other, state), do: state

  defp drain_once(%{drained: nil} = state, timeout) do
    timeout = if timeout == :configured, do: state.config.shutdown_timeout, else: timeout
    start = System.monotonic_time()
    RunningEngine.drains(state.engine)

    report =
      request(timeout + @margin, &Native.engine_drain(state.engine.resource, timeout, &1))

    Telemetry.drained(report, state.name, System.monotonic_time() - start)
    EngineLog.drained(report)
    {report, %{state | drained: report}}
  end

  defp drain_once(%{drained: report} = state, _timeout), do: {report, state}

  defp forward_events(state) do
    receive do
      {:durable_stash_events, events} ->
        Telemetry.engine_events(events, state.name)
        forward_events(state)
    after
      0 -> :ok
    end
  end

  defp backend({:disk, path}), do: {:disk, path}
  defp backend({:s3, options}), do: {:s3, options}
  defp backend({:test, options}), do: {:memory, DurableStash.TestBackend.store(options)}

  defp down, do: Error.new(:engine_down, "The engine stopped")

  defp down(name) do
    Error.new(
      :engine_down,
      "There is no engine named #{inspect(name)}: is the application :durable_stash, or the supervisor that " <>
        "starts the engine, running?"
    )
  end
end
