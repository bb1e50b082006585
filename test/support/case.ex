defmodule DurableStash.Case do
  @moduledoc """
  A test with an engine and a store of its own. `@tag engine: [...]` gives the engine options, `@tag engine: false` none.
  """

  use ExUnit.CaseTemplate

  alias DurableStash.Engine
  alias DurableStash.TestBackend

  @secret String.duplicate("a secret of the tests, 32 bytes ", 2)

  using do
    quote do
      import DurableStash.Case

      # Shown with a test that fails.
      @moduletag :capture_log

      alias DurableStash.Engine
      alias DurableStash.Error
      alias DurableStash.LiveViewProcess
      alias DurableStash.Page
      alias DurableStash.TestBackend
    end
  end

  setup context do
    name = Module.concat([context.module, "Engine#{System.unique_integer([:positive])}"])
    if options = Map.get(context, :engine, []), do: start_engine(name, options)
    on_exit(fn -> TestBackend.reset(name) end)
    %{engine: name, backend: name}
  end

  @doc "The secret of the tests' engines."
  def secret, do: @secret

  @doc "Starts an engine over the store of the same name."
  def start_engine(name, options \\ []), do: start_supervised!(engine_spec(name, options))

  @doc "How `start_engine/2` starts one."
  def engine_spec(name, options \\ []) do
    defaults = [
      name: name,
      secret: @secret,
      backend: {TestBackend, name: name},
      sweep_every: 0,
      backoff_base: 1,
      # No outcome depends on how busy the machine is; tests of time running out set their own.
      attempt_timeout: 60_000,
      recover_timeout: 60_000
    ]

    {Engine, Keyword.merge(defaults, options)}
  end

  @doc "A deploy: the engine goes, having saved what it accepted, and another comes."
  def restart_engine(name, options \\ []) do
    :ok = stop_supervised(name)
    start_engine(name, options)
  end

  @doc "A view for the harness: `stash` are the options of `use LiveStash`, the rest are the harness's."
  def view(engine, stash, options \\ []) do
    [stash: [adapter: DurableStash, engine: engine] ++ stash] ++ options
  end

  @doc "Sends the test the telemetry events of one engine."
  def observe(engine, events) do
    test = self()
    id = {engine, make_ref()}

    :ok =
      :telemetry.attach_many(id, events, &__MODULE__.forward/4, %{test: test, engine: engine})

    on_exit(fn -> :telemetry.detach(id) end)
  end

  @doc false
  def forward(event, measurements, %{engine: engine} = metadata, %{test: test, engine: engine}),
    do: send(test, {:telemetry, event, measurements, metadata})

  def forward(_event, _measurements, _metadata, _config), do: :ok

  @doc "The store's only document, decoded."
  def document(backend) do
    [document] = Map.values(TestBackend.dump(backend))
    document
  end

  @doc """
  Whether `condition` comes true, which nothing announces. Only a test that fails waits for long.
  """
  def eventually(condition, tries \\ 2_000) do
    cond do
      condition.() ->
        true

      tries == 0 ->
        false

      true ->
        receive do
        after
          5 -> eventually(condition, tries - 1)
        end
    end
  end
end
