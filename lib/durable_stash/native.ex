defmodule DurableStash.Native do
  @moduledoc false
  # The entry points of native/durable_stash_nif, one section per Rust module. Only `DurableStash.Engine` and
  # `DurableStash.Session` call them.
  #
  # All of them return at once. What takes longer is answered by a message to the caller, once, unless
  # `request_cancel/1` came first. Expected failures are `{:error, {kind, message}}`; arguments of a wrong type raise an
  # `ArgumentError`; a panic in Rust raises an `ErlangError` with `:nif_panicked` and leaves the engine as it was.

  # The number of `interface.rs`. A library that was built for another one does not load.
  @interface 4

  use Rustler,
    otp_app: :durable_stash,
    crate: "durable_stash_nif",
    path: "native/durable_stash_nif",
    load_data: @interface,
    # Development and test share one build. An application compiles its dependencies as :prod.
    features: if(Mix.env() == :prod, do: [], else: ["fault-hooks"])

  @type engine :: reference()
  @type session :: reference()
  @type request :: reference()
  @type store :: reference()

  @type kind ::
          :invalid_value
          | :too_large
          | :superseded
          | :overloaded
          | :unavailable
          | :timeout
          | :refused
          | :corrupt
          | :newer_format
          | :engine_down
  @type error :: {:error, {kind(), message :: String.t()}}
  @type id :: non_neg_integer()
  @type pairs :: [{key :: String.t(), term()}]
  @type changes :: [{key :: String.t(), term()} | {key :: String.t(), term(), :default}]
  @type event :: %{
          event: atom(),
          measurements: %{atom() => non_neg_integer()},
          metadata: %{atom() => term()}
        }

  @type claim :: %{
          sid: String.t(),
          secrets: [binary()] | nil,
          view: String.t(),
          vsn: non_neg_integer(),
          tab: String.t(),
          mount: :dead | :fresh | :rejoin | :again | :late | :late_fresh,
          # What `session_epoch/1` said of the handle before, or `DurableStash.Session.epoch_at/1` of the mount.
          epoch: non_neg_integer() | nil,
          stores_tab: boolean(),
          minted: boolean(),
          max_value_bytes: pos_integer()
        }

  # -- engine.rs ---------------------------------------------------------------------------------

  # The options are those of `DurableStash.Config.to_native/2`. The first engine of the VM decides on `:worker_threads`.
  @spec engine_start(options :: map()) :: {:ok, engine()} | error()
  def engine_start(_options), do: not_loaded()

  @spec engine_stats(engine()) :: %{atom() => non_neg_integer()}
  def engine_stats(_engine), do: not_loaded()

  @spec engine_health(engine()) ::
          {:probing | :ready | :degraded | :refusing, reason :: String.t() | nil}
  def engine_health(_engine), do: not_loaded()

  # `{:durable_stash_events, [event()]}` to `pid`, in batches. When they come too fast some are dropped, and an event
  # `:events_dropped` says how many.
  @spec engine_observe(engine(), pid() | nil) :: :ok
  def engine_observe(_engine, _pid), do: not_loaded()

  # `{:durable_stash, id, {:ok, %{saved_sessions: n, unsaved_sessions: n, unsaved_ops: n}}}`, after the last events.
  @spec engine_drain(engine(), timeout_ms :: non_neg_integer(), id()) :: {:ok, request()}
  def engine_drain(_engine, _timeout_ms, _id), do: not_loaded()

  # `{:durable_stash, id, :ok | error()}`
  @spec engine_forget(engine(), sid :: String.t(), [binary()] | nil, id()) ::
          {:ok, request()} | error()
  def engine_forget(_engine, _sid, _secrets, _id), do: not_loaded()

  # -- session.rs --------------------------------------------------------------------------------

  @spec session_open(engine(), claim()) :: {:ok, session()} | error()
  def session_open(_engine, _claim), do: not_loaded()

  # All that can be stored is accepted as one write, `op`, and a default is set only where nothing stands by then; 0 when nothing was left of it. `:large` says that the values
  # are too much for a normal scheduler and nothing was accepted: then it is for `session_stash_dirty/4`.
  @spec session_stash(session(), session_keys :: changes(), tab_keys :: changes(), shared_keys :: changes()) ::
          {:ok, op :: non_neg_integer(), refused :: [{String.t(), kind(), message :: String.t()}]}
          | :large
          | error()
  def session_stash(_session, _session_pairs, _tab_pairs, _shared_pairs), do: not_loaded()

  @spec session_stash_dirty(session(), changes(), changes(), changes()) ::
          {:ok, op :: non_neg_integer(), refused :: [{String.t(), kind(), message :: String.t()}]}
          | error()
  def session_stash_dirty(_session, _session_pairs, _tab_pairs, _shared_pairs), do: not_loaded()

  # Of two accepted writes of one browser session, the one with the higher turn is the later one. 0 before the first.
  @spec session_turn(session()) :: {written :: non_neg_integer(), seen :: non_neg_integer()}
  def session_turn(_session), do: not_loaded()

  @spec session_reset(session()) :: {:ok, op :: pos_integer()} | error()
  def session_reset(_session), do: not_loaded()

  # `{:durable_stash, id, {:ok, %{vsn: n, session: pairs(), tab_vsn: n, tab: pairs(), shared: pairs(), stale: boolean()}} | :not_found | error()}`
  @spec session_recover(session(), id()) :: {:ok, request()}
  def session_recover(_session, _id), do: not_loaded()

  # `{:durable_stash, id, :ok | error()}`, or `:saved` and no message when nothing is outstanding.
  @spec session_flush(session(), id()) :: :saved | {:ok, request()}
  def session_flush(_session, _id), do: not_loaded()

  @spec session_status(session()) ::
          {accepted :: non_neg_integer(), saved :: non_neg_integer(), failures :: non_neg_integer(),
           reset :: :saved | :open | :failed, leans_for :: nil | non_neg_integer(), superseded? :: boolean(),
           down? :: boolean()}
  def session_status(_session), do: not_loaded()

  # In no unit of time: `Epoch` in durable_stash_machine/src/slice.rs.
  @spec session_epoch(session()) :: non_neg_integer() | nil
  def session_epoch(_session), do: not_loaded()

  # `{:durable_stash_status, tag, {:saved, op} | {:failed, kind()} | :superseded}` at every change, in order.
  @spec session_watch(session(), pid() | nil, tag :: term()) :: :ok
  def session_watch(_session, _pid, _tag), do: not_loaded()

  # -- reply.rs ----------------------------------------------------------------------------------

  # True: the message will never come. False: it is certain to come, or has.
  @spec request_cancel(request()) :: boolean()
  def request_cancel(_request), do: not_loaded()

  # -- value.rs ----------------------------------------------------------------------------------

  @spec json_encode(term(), max_bytes :: non_neg_integer()) :: {:ok, String.t()} | error()
  def json_encode(_term, _max_bytes), do: not_loaded()

  @spec json_decode(binary()) :: {:ok, term()} | error()
  def json_decode(_binary), do: not_loaded()

  # -- test_store.rs -----------------------------------------------------------------------------

  @spec test_store(name :: String.t()) :: {:ok, store()}
  def test_store(_name), do: not_loaded()

  @spec test_store_dump(store()) :: [{name :: String.t(), body :: binary()}]
  def test_store_dump(_store), do: not_loaded()

  @spec test_store_reset(store()) :: :ok
  def test_store_reset(_store), do: not_loaded()

  @spec test_store_latency(store(), ms :: non_neg_integer()) :: :ok
  def test_store_latency(_store, _ms), do: not_loaded()

  @spec test_store_counts(store()) :: %{
          gets: non_neg_integer(),
          puts: non_neg_integer(),
          commits: non_neg_integer(),
          most_in_flight: non_neg_integer()
        }
  def test_store_counts(_store), do: not_loaded()

  # The steps are in the table at `step` in test_store.rs.
  @spec test_store_script(store(), step :: tuple() | :release) :: :ok
  def test_store_script(_store, _step), do: not_loaded()

  # -- interface.rs, fault_hook.rs ---------------------------------------------------------------

  @spec nif_info() :: %{version: pos_integer(), fault_hooks: boolean()}
  def nif_info, do: not_loaded()

  # Lets the next call of the entry point panic, or with "reply" the next reply.
  @spec fault_hook(entry :: String.t(), :panic) :: :ok | error()
  def fault_hook(_entry, _fault), do: not_loaded()

  defp not_loaded, do: :erlang.nif_error(:nif_not_loaded)
end
