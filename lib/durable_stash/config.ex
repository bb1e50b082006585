defmodule DurableStash.Config do
  alias DurableStash.Schema
  alias DurableStash.TestBackend

  @second 1_000
  @minute 60 * @second
  @hour 60 * @minute
  @day 24 * @hour
  @mebibyte 1024 * 1024
  @tebibyte @mebibyte * @mebibyte
  # 46 days: what Erlang's timers take, with room for what is added to it.
  @longest 4_000_000_000
  @century 36_525 * @day

  @positive_ms "a positive number of milliseconds"
  @positive_bytes "a positive number of bytes"

  @schema [
    backend: {{:disk, path: "durable_stash_data"}, :any, "one of the backends below"},
    secret: {:required, :secret, "a binary of at least 32 bytes, or a list of them with the current one first"},
    prefix: {"durable_stash/", :string, "the start of every object's name, such as \"durable_stash/\""},
    ttl: {30 * @day, {:positive, @century}, @positive_ms},
    flush_after: {0, {:natural, @longest}, "a number of milliseconds, 0 sends each write at once"},
    recover_timeout: {3 * @second, {:positive, @longest}, @positive_ms},
    fresh_for: {0, {:natural, @longest}, "a number of milliseconds, 0 asks the store at every recovery"},
    single_writer: {false, :boolean, "a boolean"},
    serve_stale: {true, :boolean, "a boolean"},
    max_unsaved_age: {15 * @minute, {:positive, @longest}, @positive_ms},
    max_unsaved_bytes: {64 * @mebibyte, {:positive, @tebibyte}, @positive_bytes},
    max_value_bytes: {@mebibyte, {:positive, @tebibyte}, @positive_bytes},
    max_document_bytes: {4 * @mebibyte, {:positive, @tebibyte}, @positive_bytes},
    components_per_module: {100, {:positive, 1_000_000}, "a positive number of components"},
    on_invalid_value: {:skip, {:in, [:skip, :raise]}, "`:skip` or `:raise`"},
    shutdown_timeout: {20 * @second, {:positive, @longest}, @positive_ms},
    sweep_every: {@hour, {:natural, @longest}, "a number of milliseconds, 0 never sweeps"},
    idle_after: {@minute, {:positive, @longest}, @positive_ms},
    requests_in_flight: {128, {:positive, 65_536}, "a positive number of requests"},
    attempt_timeout: {5 * @second, {:positive, @longest}, @positive_ms},
    connect_timeout: {2 * @second, {:positive, @longest}, @positive_ms},
    backoff_base: {50, {:positive, @longest}, @positive_ms},
    backoff_cap: {5 * @second, {:positive, @longest}, @positive_ms},
    worker_threads: {2, {:positive, 256}, "a positive number of threads"}
  ]

  @disk_schema [
    path: {:required, :string, "a directory, which is made if it is missing"}
  ]

  @s3_schema [
    bucket: {:required, :string, "the name of a bucket that exists"},
    region: {nil, {:nullable, :string}, "a string such as \"eu-central-1\""},
    endpoint: {nil, {:nullable, :hidden}, "a URL such as \"https://storage.example.com\""},
    access_key_id: {nil, {:nullable, :hidden}, "a string"},
    secret_access_key: {nil, {:nullable, :hidden}, "a string"},
    session_token: {nil, {:nullable, :hidden}, "a string"},
    virtual_hosted: {false, :boolean, "a boolean: the bucket is part of the host's name"},
    allow_http: {false, :boolean, "a boolean: the endpoint may be plain HTTP"}
  ]

  @where "config :durable_stash"

  @moduledoc """
  What an engine is started with: `config :durable_stash` for the default one, the options of `DurableStash.Engine` for
  others. A bad or unknown option raises an `ArgumentError` at start that names it and says what it takes.

  Times are milliseconds, at most #{@longest} (46 days) but for `:ttl`; sizes are bytes.

  #{Schema.table(@schema)}
    * `:secret` names the objects, together with the session id. In a list the first one is current; an object that is found
      only under an older one moves to the current one with its next write. To rotate, put the new secret in front, restart the
      nodes one by one, and keep the older one listed for a whole `:ttl`: what nobody has written meanwhile is over by then.
      One rotation at a time.
    * `:flush_after` holds the first write of a batch back to trade latency for fewer requests.
    * `:recover_timeout` is how long a mount waits for the store before a cached copy, or `:error`, answers it. The browser
      gives a mount 10 seconds before it loads the page anew.
    * `:fresh_for` lets a copy that was validated so recently answer without asking the store.
    * `:single_writer` declares that no other node writes this store. It also accepts a store without conditional writes.
    * `:serve_stale` lets a cached copy answer a recovery while the store does not.
    * `:max_unsaved_age` is how long an accepted write is tried before it counts as failed.
    * `:components_per_module` is how many LiveComponents of one module (see `DurableStash.Component`) a browser session keeps.
      Beyond it those that were written the longest ago go first, whole.
    * `:on_invalid_value` is what a stash does about a value that is not JSON-safe: `:skip` leaves that key out and logs,
      `:raise` raises an `ArgumentError` in the LiveView (for development and tests).
    * `:shutdown_timeout` bounds the flush at shutdown.
    * `:worker_threads` serve all engines of the node; the first one to start decides.

  ## Backends

  `{:disk, options}`, for one machine and the default:

  #{Schema.table(@disk_schema)}
  `{:s3, options}`, for S3 and what speaks its protocol with conditional writes:

  #{Schema.table(@s3_schema)}
  Credentials that are not given come from the environment, the instance's metadata service or a web identity.

  `DurableStash.TestBackend` or `{DurableStash.TestBackend, options}`, in memory, for tests.
  """

  @fields Keyword.keys(@schema)
  @enforce_keys @fields
  @derive {Inspect, except: [:secret, :backend]}
  defstruct @fields

  @type backend :: {:disk, Path.t()} | {:s3, map()} | {:test, TestBackend.options()}

  @type t :: %__MODULE__{
          backend: backend(),
          secret: [binary(), ...],
          prefix: String.t(),
          ttl: pos_integer(),
          flush_after: non_neg_integer(),
          recover_timeout: pos_integer(),
          fresh_for: non_neg_integer(),
          single_writer: boolean(),
          serve_stale: boolean(),
          max_unsaved_age: pos_integer(),
          max_unsaved_bytes: pos_integer(),
          max_value_bytes: pos_integer(),
          max_document_bytes: pos_integer(),
          components_per_module: pos_integer(),
          on_invalid_value: :skip | :raise,
          shutdown_timeout: pos_integer(),
          sweep_every: non_neg_integer(),
          idle_after: pos_integer(),
          requests_in_flight: pos_integer(),
          attempt_timeout: pos_integer(),
          connect_timeout: pos_integer(),
          backoff_base: pos_integer(),
          backoff_cap: pos_integer(),
          worker_threads: pos_integer()
        }

  @doc """
  Validates `options` and applies the defaults.

  Raises an `ArgumentError` that names the first option that is unknown, missing or not what it should be.
  """
  @spec new!(keyword()) :: t()
  def new!(options) do
    validated = Schema.validate!(options, @schema, @where)
    struct!(__MODULE__, Keyword.update!(validated, :backend, &backend!/1))
  end

  @doc false
  # The keys are a contract with the NIF; a backend in memory is resolved by the engine.
  @spec to_native(t(), backend :: tuple()) :: map()
  def to_native(%__MODULE__{} = config, backend) do
    %{
      backend: backend,
      prefix: config.prefix,
      secrets: config.secret,
      ttl_ms: config.ttl,
      flush_after_ms: config.flush_after,
      recover_timeout_ms: config.recover_timeout,
      fresh_for_ms: config.fresh_for,
      single_writer: config.single_writer,
      serve_stale: config.serve_stale,
      max_unsaved_age_ms: config.max_unsaved_age,
      max_value_bytes: config.max_value_bytes,
      max_document_bytes: config.max_document_bytes,
      components_per_module: config.components_per_module,
      idle_after_ms: config.idle_after,
      requests_in_flight: config.requests_in_flight,
      max_unsaved_bytes: config.max_unsaved_bytes,
      sweep_every_ms: config.sweep_every,
      attempt_timeout_ms: config.attempt_timeout,
      connect_timeout_ms: config.connect_timeout,
      backoff_base_ms: config.backoff_base,
      backoff_cap_ms: config.backoff_cap,
      worker_threads: config.worker_threads
    }
  end

  defp backend!({:disk, options}) do
    [path: path] = Schema.validate!(options, @disk_schema, "#{@where}, backend: {:disk, ...}")
    {:disk, Path.expand(path)}
  end

  defp backend!({:s3, options}) do
    s3 = Map.new(Schema.validate!(options, @s3_schema, "#{@where}, backend: {:s3, ...}"))
    check_endpoint!(s3)
    check_credentials!(s3)
    {:s3, s3}
  end

  defp backend!(TestBackend), do: backend!({TestBackend, []})
  defp backend!({TestBackend, options}), do: {:test, TestBackend.validate!(options)}

  defp backend!(other) do
    raise ArgumentError,
          "#{@where}: the option :backend takes {:disk, path: ...}, {:s3, bucket: ..., ...}, DurableStash.TestBackend " <>
            "or {DurableStash.TestBackend, name: ..., ...}, got: #{shown(other)}"
  end

  defp check_endpoint!(%{endpoint: nil}), do: :ok

  defp check_endpoint!(%{endpoint: endpoint, allow_http: allow_http}) do
    case URI.new(endpoint) do
      {:ok, %URI{scheme: "https", host: host}} when host not in [nil, ""] ->
        :ok

      {:ok, %URI{scheme: "http", host: host}} when host not in [nil, ""] and allow_http ->
        :ok

      {:ok, %URI{scheme: "http"}} ->
        raise ArgumentError,
              "#{@where}, backend: {:s3, ...}: the option :endpoint is plain HTTP. If that is meant, add allow_http: true"

      _other ->
        raise ArgumentError,
              "#{@where}, backend: {:s3, ...}: the option :endpoint takes a URL such as \"https://storage.example.com\""
    end
  end

  defp check_credentials!(%{access_key_id: id, secret_access_key: key})
       when is_nil(id) == is_nil(key),
       do: :ok

  defp check_credentials!(_s3) do
    raise ArgumentError,
          "#{@where}, backend: {:s3, ...}: the options :access_key_id and :secret_access_key go together, one is missing"
  end

  # The options of a backend may hold credentials.
  defp shown(name) when is_atom(name), do: inspect(name)

  defp shown(backend) when tuple_size(backend) > 0 and is_atom(elem(backend, 0)),
    do: "{#{inspect(elem(backend, 0))}, ...}"

  defp shown(_other), do: "something else"
end
