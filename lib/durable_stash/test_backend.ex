defmodule DurableStash.TestBackend do
  alias DurableStash.Engine
  alias DurableStash.Schema

  @schema [
    name: {DurableStash.TestBackend, :any, "an atom or a string"},
    latency: {0, :natural, "a number of milliseconds that every request takes"}
  ]

  @moduledoc """
  A store in memory, for tests and development.

      config :durable_stash, backend: DurableStash.TestBackend, secret: String.duplicate("s", 32)

  It compares and swaps as S3 does, and misbehaves on request. A store is known by its name and outlives every engine, so
  that restarting the engine plays a deploy; `reset/1` empties it. Tests that run side by side take an engine and a name
  each:

      setup context do
        name = Module.concat(__MODULE__, context.test)
        start_supervised!({DurableStash.Engine, name: name, backend: {DurableStash.TestBackend, name: name}, secret: secret})
        %{engine: name, backend: name}
      end

  The engine does not run in the test's process: a write is stored a moment after its stash. `DurableStash.flush/2` waits
  for it.

  ## Options

  #{Schema.table(@schema)}
  ## Faults

  Each is used up by the next requests that it fits, in the order in which they were asked for. `reset/1` forgets the rest.
  """

  @type name :: atom() | String.t()
  @type options :: [name: name(), latency: non_neg_integer()]

  @doc """
  Every object, by its name, as `%{header: map, views: map}`. What is not a document stays a binary.

      %{views: %{"Elixir.MyAppWeb.SomeLive" => %{"1" => %{"data" => data, "tabs" => tabs}}}}
  """
  @spec dump(name()) :: %{String.t() => %{header: map(), views: map()} | binary()}
  def dump(name \\ __MODULE__) do
    Map.new(Engine.dump_test_store(to_string(name)), fn {object, body} ->
      {object, decoded(body)}
    end)
  end

  @doc "What was asked since the last reset: `:gets` and `:puts` that arrived, `:commits`, `:most_in_flight` at one time."
  @spec counts(name()) :: %{
          gets: non_neg_integer(),
          puts: non_neg_integer(),
          commits: non_neg_integer(),
          most_in_flight: non_neg_integer()
        }
  def counts(name \\ __MODULE__), do: Engine.count_test_store(to_string(name))

  @doc "Forgets objects, faults, latency and counts, and releases what is stalled."
  @spec reset(name()) :: :ok
  def reset(name \\ __MODULE__), do: script(name, :reset)

  @doc "From now on every request takes this many milliseconds."
  @spec latency(name(), non_neg_integer()) :: :ok
  def latency(name \\ __MODULE__, milliseconds), do: script(name, {:latency, milliseconds})

  @doc """
  The next `count` writes fail and are not applied. The engine cannot know that, as with a 503, and tries again;
  `retry_after` (ms) is what the store asks for.
  """
  @spec fail_puts(name(), pos_integer(), retry_after: non_neg_integer()) :: :ok
  def fail_puts(name, count, options \\ []),
    do: script(name, {:fail_puts, count, options[:retry_after]})

  @doc "The next `count` writes are applied, and their answers are lost."
  @spec drop_put_answers(name(), pos_integer()) :: :ok
  def drop_put_answers(name, count), do: script(name, {:drop_answers, count})

  @doc """
  The next `count` writes wait for `release/1`. They are applied then if their condition still holds, even if nobody waits
  for the answer any more.
  """
  @spec stall_puts(name(), pos_integer()) :: :ok
  def stall_puts(name, count), do: script(name, {:stall_puts, count})

  @doc "The next `count` writes lose: `:moved` says that another version is stored (412), `:busy` that another write is under way (409)."
  @spec conflict(name(), pos_integer(), :moved | :busy) :: :ok
  def conflict(name, count, with \\ :moved), do: script(name, {:conflict, count, with})

  @doc "The next `count` writes are refused for want of rights (403)."
  @spec deny_puts(name(), pos_integer()) :: :ok
  def deny_puts(name, count), do: script(name, {:deny_puts, count})

  @doc "The next `count` reads fail, as with a 503."
  @spec fail_gets(name(), pos_integer(), retry_after: non_neg_integer()) :: :ok
  def fail_gets(name, count, options \\ []),
    do: script(name, {:fail_gets, count, options[:retry_after]})

  @doc "The next `count` reads wait for `release/1`."
  @spec stall_gets(name(), pos_integer()) :: :ok
  def stall_gets(name, count), do: script(name, {:stall_gets, count})

  @doc "The next `count` reads are refused for want of rights (403)."
  @spec deny_gets(name(), pos_integer()) :: :ok
  def deny_gets(name, count), do: script(name, {:deny_gets, count})

  @doc "Lets every stalled request go on, and forgets stalls that no request has met yet."
  @spec release(name()) :: :ok
  def release(name \\ __MODULE__), do: script(name, :release)

  @doc "Puts an object as an operator would, whatever is there. The name is one that `dump/1` shows."
  @spec put_object(name(), String.t(), binary()) :: :ok
  def put_object(name, object, body), do: script(name, {:plant, object, body})

  @doc "Deletes an object as a lifecycle rule would."
  @spec delete_object(name(), String.t()) :: :ok
  def delete_object(name, object), do: script(name, {:uproot, object})

  @doc false
  @spec validate!(keyword()) :: options()
  def validate!(options) do
    where = "config :durable_stash, backend: {DurableStash.TestBackend, ...}"
    validated = Schema.validate!(options, @schema, where)
    name = validated[:name]

    if not (is_binary(name) or is_atom(name)) or name in [nil, ""] do
      raise ArgumentError,
            "#{where}: the option :name takes an atom or a string, got: #{inspect(name)}"
    end

    validated
  end

  @doc false
  # The store as the NIF takes it.
  @spec store(options()) :: reference()
  def store(options) do
    if options[:latency] > 0, do: latency(options[:name], options[:latency])
    Engine.test_store(to_string(options[:name]))
  end

  defp script(name, step), do: Engine.script_test_store(to_string(name), step)

  # Two lines of JSON: a header, and the body that it covers.
  defp decoded(body) do
    with [header, body] <- String.split(body, "\n", parts: 2),
         {:ok, %{} = header} <- JSON.decode(header),
         {:ok, %{"views" => views}} <- JSON.decode(String.trim_trailing(body, "\n")) do
      %{header: header, views: views}
    else
      _not_a_document -> body
    end
  end
end
