defmodule DurableStash.Telemetry do
  @moduledoc """
  The events that DurableStash emits.

  No event bears a session id, a secret, a tab or a value. Durations are in native time units.

  ## What a LiveView does

  Spans of `:telemetry.span/3`: `[:durable_stash, operation, :start]`, then `:stop`, or `:exception` where
  `on_invalid_value: :raise` raised. They are emitted by the LiveView's process, and a stash that has nothing to send emits
  none.

  | event                                | measurements                            | metadata beside the common ones |
  |--------------------------------------|-----------------------------------------|---------------------------------|
  | `[:durable_stash, :stash, :stop]`    | `duration`, `keys` accepted, `refused`  | `result`: `:accepted` or `:error` |
  | `[:durable_stash, :reset, :stop]`    | `duration`                              | `result`: `:accepted` or `:error` |
  | `[:durable_stash, :recover, :stop]`  | `duration`, `keys` assigned             | `result`: `:recovered`, `:not_found` or `:error`; `stale?`: a cached copy answered because the store did not; `from`: the vsn that was migrated |
  | `[:durable_stash, :flush, :stop]`    | `duration`                              | `result`: `:saved` or `:error`  |
  | `[:durable_stash, :forget, :stop]`   | `duration`                              | `result`: `:forgotten` or `:error`; of the common ones only `engine` |

  Common metadata: `view` (a LiveComponent's is its module), `vsn`, `mount` (`:dead`, `:fresh` or `:rejoin`) and `engine`. With `result: :error` there are
  `kind` and `error` (see `DurableStash.Error`).

  | event                              | measurements | metadata |
  |------------------------------------|--------------|----------|
  | `[:durable_stash, :refused_value]` | `count`: 1   | the common ones, `key`, `kind` (`:invalid_value` or `:too_large`), `error` whose message has the path to the culprit |
  | `[:durable_stash, :unsaved]`       | `count` of failures since the last look | the common ones: a LiveView noticed that its writes, or writes that it recovered before they were saved, have failed; what it keeps is sent again |

  In that path the keys of maps are data of your own making. Those that are identifiers (`settings.items[3].at`) are shown,
  atom or text alike; all other text keys are `[…]`, here, in logs and in what `DurableStash.flush/2` returns. Only the
  exception of `on_invalid_value: :raise` has the whole path. Do not name keys after visitors where that matters.

  ## What an engine does

  Emitted by the engine's process, a moment later. All of them have `engine` in the metadata, and `session`: the first 8 hex
  digits of the object's name, where one session is meant. Under load the engine drops events rather than queue them
  without bound; `DurableStash.Engine.stats/1` counts everything.

  | event                             | measurements | metadata | what happened |
  |-----------------------------------|--------------|----------|---------------|
  | `[:durable_stash, :commit]`       | `ops`: writes in it, `bytes` of the object, `attempts`: requests it took, `age_ms` of its oldest write | `rev`: the revision it made | a batch is in the store |
  | `[:durable_stash, :conflict]`     | `count`: 1   | `with`: `:moved` (412), `:gone` (404) or `:busy` (409) | a request lost; the batch is rebased and sent again |
  | `[:durable_stash, :retry]`        | `count`: 1, `delay_ms` | | the store failed and is asked again later |
  | `[:durable_stash, :resolved]`     | `count`: 1   | `saved`: boolean | an unknown outcome was settled by reading |
  | `[:durable_stash, :superseded]`   | `count`: 1   | | a tab has mounted again |
  | `[:durable_stash, :stale_served]` | `count`: 1   | | a cached copy answered because the store did not |
  | `[:durable_stash, :stale_read]`   | `count`: 1   | | the store answered with an older revision than before |
  | `[:durable_stash, :corrupt]`      | `count`: 1   | | a damaged object was found |
  | `[:durable_stash, :quarantined]`  | `count`: 1   | | it was copied aside |
  | `[:durable_stash, :newer_format]` | `count`: 1   | | an object of a newer release was found, and left alone |
  | `[:durable_stash, :rekeyed]`      | `count`: 1   | | a document was found under an older secret |
  | `[:durable_stash, :expired]`      | `count`: 1   | | a document was past its time |
  | `[:durable_stash, :tabs_evicted]` | `count` of tabs | | a view had too many tabs |
  | `[:durable_stash, :components_evicted]` | `count` of components | | a browser session had too many LiveComponents of one module |
  | `[:durable_stash, :swept]`        | `read`, `buried`, `deleted`, `failed` | | the sweeper has been through the store |
  | `[:durable_stash, :health]`       | `count`: 1   | `state` and `reason`, as of `DurableStash.Engine.health/1` | the engine's health changed |
  | `[:durable_stash, :crashed]`      | `count`: 1   | `message` | a session's task crashed; its LiveViews open it again |
  | `[:durable_stash, :events_dropped]` | `count`    | | so many events were dropped |

  ## Shutdown

  | event                            | measurements | metadata |
  |----------------------------------|--------------|----------|
  | `[:durable_stash, :drain, :stop]` | `duration`, `saved_sessions`, `unsaved_sessions`, `unsaved_ops` | `engine`, `result`: `:drained` or `:error`, then `kind` and `error` |
  """

  alias DurableStash.Context
  alias DurableStash.Engine
  alias DurableStash.Error
  alias DurableStash.Log

  @callbacks [:stash, :reset, :recover]

  @type operation :: :stash | :reset | :recover | :flush | :forget

  @doc false
  # The function returns as the one of `:telemetry.span/3` does. The errors of adapter callbacks are logged here: they hand
  # back a socket, and nobody else would hear of them.
  @spec span(operation(), Context.t() | Engine.name(), (-> {result, map(), map()})) :: result
        when result: term()
  def span(operation, subject, fun) do
    common = common(subject)

    :telemetry.span([:durable_stash, operation], common, fn ->
      {result, measurements, metadata} = fun.()
      with %{error: error} <- metadata, true <- operation in @callbacks, do: log(operation, subject, error)
      {result, measurements, Map.merge(common, metadata)}
    end)
  end

  @doc false
  @spec refused_value(Context.t(), key :: atom(), Error.t()) :: :ok
  def refused_value(context, key, error) do
    metadata = Map.merge(common(context), %{key: key, kind: error.kind, error: error})
    :telemetry.execute([:durable_stash, :refused_value], %{count: 1}, metadata)

    Log.once_a_minute(
      {:refused_value, context.view, key, error.kind},
      :error,
      "#{inspect(context.view)} did not stash the assign #{inspect(key)}: #{error.message}"
    )
  end

  @doc false
  @spec unsaved(Context.t(), failures :: pos_integer()) :: :ok
  def unsaved(context, failures) do
    :telemetry.execute([:durable_stash, :unsaved], %{count: failures}, common(context))

    Log.once_a_minute(
      {:unsaved, context.view},
      :error,
      "writes of #{inspect(context.view)} failed and are not saved: the store refused them, did not take them within " <>
        "max_unsaved_age, or they are too large. What its LiveView keeps is sent again"
    )
  end

  @doc false
  @spec drained({:ok, map()} | {:error, Error.t()}, Engine.name(), duration :: integer()) :: :ok
  def drained({:ok, report}, engine, duration) do
    :telemetry.execute(
      [:durable_stash, :drain, :stop],
      Map.put(report, :duration, duration),
      %{engine: engine, result: :drained}
    )
  end

  def drained({:error, error}, engine, duration) do
    :telemetry.execute(
      [:durable_stash, :drain, :stop],
      %{duration: duration},
      %{engine: engine, result: :error, kind: error.kind, error: error}
    )
  end

  @doc false
  @spec engine_events([map()], Engine.name()) :: :ok
  def engine_events(events, engine) do
    Enum.each(events, fn %{event: event, measurements: measurements, metadata: metadata} ->
      :telemetry.execute(
        [:durable_stash, event],
        measurements,
        Map.put(metadata, :engine, engine)
      )
    end)
  end

  @doc false
  @spec log(operation() | :mount, Context.t() | Engine.name(), Error.t()) :: :ok
  def log(operation, subject, error) do
    who = inspect(with %Context{view: view} <- subject, do: view)
    level = if error.kind == :superseded, do: :info, else: :error

    Log.once_a_minute(
      {operation, who, error.kind},
      level,
      "#{who} could not #{operation}: #{error.message}"
    )
  end

  defp common(%Context{} = context) do
    %{
      view: context.view,
      vsn: context.options.vsn,
      mount: context.tab.mount,
      engine: context.options.engine
    }
  end

  defp common(engine), do: %{engine: engine}
end
