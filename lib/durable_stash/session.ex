defmodule DurableStash.Session do
  @moduledoc false
  # One LiveView's handle on its browser session in the engine. Dropping it (the LiveView dies) releases the tab; what it
  # wrote lives on.

  alias DurableStash.Boundary
  alias DurableStash.Engine
  alias DurableStash.Error
  alias DurableStash.Native
  alias DurableStash.RunningEngine
  alias DurableStash.Tab

  # The engine answers a recovery within its own `recover_timeout`, from its cache if need be; this is for an engine that
  # does not answer at all.
  @recover_margin 1_000

  # Below the milliseconds of an epoch: `Epoch` in durable_stash_machine/src/slice.rs says what they tell apart.
  @bits_below_ms 22

  @enforce_keys [:engine, :resource]
  defstruct [:engine, :resource]

  @type t :: %__MODULE__{engine: RunningEngine.t(), resource: reference()}
  @type pairs :: [{key :: String.t(), term()}]
  @type changes :: [{key :: String.t(), term()} | {key :: String.t(), term(), :default}]
  # Where a mount stands among those of its tab. The higher one is the later.
  @type epoch :: non_neg_integer()
  @type refusal :: {key :: String.t(), Error.kind(), message :: String.t()}

  @doc """
  Opens a handle. On a connected mount this claims the tab: whoever held it is superseded. `:again` is the LiveView of an
  earlier mount whose engine was restarted: it claims its tab unless that has mounted since. `:late` claims likewise what that
  mount has not held before, and `:late_fresh` empties it of what is older than the mount. Returns at once.
  """
  @spec open(Engine.name(), %{
          sid: String.t(),
          secrets: [binary()] | nil,
          view: String.t(),
          vsn: pos_integer(),
          tab: String.t(),
          mount: Tab.mount() | :again | :late | :late_fresh,
          epoch: epoch() | nil,
          stores_tab: boolean(),
          minted: boolean()
        }) :: {:ok, t()} | {:error, Error.t()}
  def open(engine_name, claim) do
    with {:ok, engine} <- Engine.fetch(engine_name),
         claim = Map.put(claim, :max_value_bytes, engine.max_value_bytes),
         {:ok, resource} <-
           Boundary.call(fn -> Native.session_open(engine.resource, claim) end) do
      {:ok, %__MODULE__{engine: engine, resource: resource}}
    end
  end

  @doc """
  Where the handle's mount stands among those of its tab, for the handle that is opened `:again`. None before the engine
  has heard of it.
  """
  @spec epoch(t() | nil) :: epoch() | nil
  def epoch(nil), do: nil

  def epoch(%__MODULE__{resource: resource}) do
    case Boundary.call(fn -> Native.session_epoch(resource) end) do
      {:error, _error} -> nil
      epoch -> epoch
    end
  end

  @doc "Where a mount stands that no engine has heard of."
  @spec epoch_at(milliseconds :: non_neg_integer()) :: epoch()
  def epoch_at(milliseconds), do: Bitwise.bsl(milliseconds, @bits_below_ms)

  @doc "Whether the handle belongs to the engine that runs now."
  @spec current?(t()) :: boolean()
  def current?(%__MODULE__{engine: %{name: name, generation: generation}}) do
    match?({:ok, %{generation: ^generation}}, Engine.fetch(name))
  end

  @doc """
  Enqueues the values, all that can be stored or none, and returns at once. A `:default` is set only where nothing stands when
  the write is applied. `accepted` is the write's number, 0 if nothing was left to enqueue.
  """
  @spec stash(t(), changes(), changes(), changes()) ::
          {:ok, accepted :: non_neg_integer(), [refusal()]} | {:error, Error.t()}
  def stash(%__MODULE__{resource: resource}, session_pairs, tab_pairs, shared_pairs \\ []) do
    Boundary.call(fn ->
      case Native.session_stash(resource, session_pairs, tab_pairs, shared_pairs) do
        :large -> Native.session_stash_dirty(resource, session_pairs, tab_pairs, shared_pairs)
        result -> result
      end
    end)
  end

  @doc """
  The turn of the last accepted write, and the highest turn of the writes that the last recovery shows: it shows those below, and
  none above. Of two writes of one browser session, the one with the higher turn is the one that stands in the end.
  """
  @spec turn(t()) :: {:ok, written :: non_neg_integer(), seen :: non_neg_integer()} | {:error, Error.t()}
  def turn(%__MODULE__{resource: resource}) do
    Boundary.call(fn ->
      {written, seen} = Native.session_turn(resource)
      {:ok, written, seen}
    end)
  end

  @doc "An accepted value as recovery would bring it back."
  @spec recovered_form(t(), term()) :: {:ok, term()} | {:error, Error.t()}
  def recovered_form(_session, value) when is_binary(value) or is_number(value) or value in [nil, true, false],
    do: {:ok, value}

  def recovered_form(%__MODULE__{engine: engine}, value) do
    Boundary.call(fn ->
      with {:ok, json} <- Native.json_encode(value, engine.max_value_bytes), do: Native.json_decode(json)
    end)
  end

  @doc "Enqueues the emptying of the view's slice and the tab, and returns at once."
  @spec reset(t()) :: {:ok, accepted :: pos_integer()} | {:error, Error.t()}
  def reset(%__MODULE__{resource: resource}) do
    Boundary.call(fn -> Native.session_reset(resource) end)
  end

  @doc "What is stored, and by which versions of the view. Waits, at most a little longer than the engine's `recover_timeout`."
  @spec recover(t()) ::
          {:ok,
           %{
             vsn: pos_integer(),
             session: pairs(),
             tab_vsn: pos_integer(),
             tab: pairs(),
             shared: pairs(),
             stale: boolean()
           }}
          | :not_found
          | {:error, Error.t()}
  def recover(%__MODULE__{engine: engine, resource: resource}) do
    timeout = engine.recover_timeout + @recover_margin
    Engine.request(timeout, &Native.session_recover(resource, &1))
  end

  @doc "Waits until everything accepted so far is saved."
  @spec flush(t(), timeout()) :: :ok | {:error, Error.t()}
  def flush(%__MODULE__{resource: resource}, timeout) do
    case Engine.request(timeout, &Native.session_flush(resource, &1)) do
      :saved -> :ok
      result -> result
    end
  end

  @doc """
  What has become of this handle's writes and of its last reset, and for how long (ms) it has leaned on others' that it recovered unsaved. Reads atomics.
  """
  @spec status(t()) ::
          {:ok,
           %{
             accepted: non_neg_integer(),
             saved: non_neg_integer(),
             failures: non_neg_integer(),
             reset: :saved | :open | :failed,
             leans_for: nil | non_neg_integer(),
             superseded?: boolean(),
             down?: boolean()
           }}
          | {:error, Error.t()}
  def status(%__MODULE__{resource: resource}) do
    Boundary.call(fn ->
      {accepted, saved, failures, reset, leans_for, superseded?, down?} = Native.session_status(resource)

      {:ok,
       %{
         accepted: accepted,
         saved: saved,
         failures: failures,
         reset: reset,
         leans_for: leans_for,
         superseded?: superseded?,
         down?: down?
       }}
    end)
  end

  @doc "Asks for `{:durable_stash_status, 0, change}` at every change of what is saved."
  @spec watch(t(), pid()) :: :ok | {:error, Error.t()}
  def watch(%__MODULE__{resource: resource}, pid) do
    Boundary.call(fn -> Native.session_watch(resource, pid, 0) end)
  end
end
