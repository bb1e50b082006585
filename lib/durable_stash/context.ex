defmodule DurableStash.Context do
  @moduledoc false
  # What the adapter keeps of one LiveView, in `socket.private.durable_stash`: whose state it is, the handle on it, and the
  # terms that the engine has accepted.

  alias DurableStash.Defaults
  alias DurableStash.Delta
  alias DurableStash.Error
  alias DurableStash.Host
  alias DurableStash.Options
  alias DurableStash.Session
  alias DurableStash.SessionKey
  alias DurableStash.Standing
  alias DurableStash.Tab
  alias Phoenix.LiveView
  alias Phoenix.LiveView.Socket

  @private :durable_stash

  @enforce_keys [:options, :view, :sid, :tab, :slice, :host, :minted?, :epoch]
  @derive {Inspect, only: [:view, :options, :superseded?, :error]}
  defstruct [
    :options,
    :view,
    # None where the cookie session has no valid one.
    :sid,
    :tab,
    # What names its slice: the view, or the component and its id.
    :slice,
    # The LiveView that a component is in, or that this is.
    :host,
    # The sid was minted in this very request: nothing can be stored under it.
    :minted?,
    # Where its mount stands, on the engine's clock as long as no handle says so: a handle that is opened later, as a component's may
    # be, stands with this mount, and behind every one since.
    :epoch,
    component?: false,
    # The mount is not over: a handle that is opened now takes the tab.
    mounting?: true,
    # How the first handle is opened once the mount is over: `:late_fresh` empties the tab of what is older than the mount.
    late: :late,
    # The handle. None before the first use at a dead mount, and while there is no engine.
    session: nil,
    # Per key, the term that the engine accepted, or refused for good. Only a term that is not this one is sent.
    kept: %{},
    # What was not recovered and is not changed. None while nothing was recovered, accepted or failed to be recovered.
    defaults: nil,
    # The keys whose present term was refused, and why.
    refused: %{},
    # How the handle's writes fare.
    standing: %Standing{},
    # The timer of the next look at how the writes fare, for `status:`.
    look: nil,
    # Where the session's LiveViews on this node hear of each other's changes. None where nothing is pushed.
    topic: nil,
    # Per pushed key, the rank of the write that its present term comes from.
    turns: %{},
    # The turn up to which recovery knew of all writes: what is pushed of those comes late.
    seen: 0,
    # Why the last write was not accepted.
    error: nil,
    superseded?: false
  ]

  @type t :: %__MODULE__{
          options: Options.t(),
          view: module(),
          sid: SessionKey.sid() | nil,
          tab: Tab.t(),
          slice: String.t(),
          host: Host.key(),
          component?: boolean(),
          minted?: boolean(),
          epoch: Session.epoch(),
          mounting?: boolean(),
          late: :late | :late_fresh,
          session: Session.t() | nil,
          kept: Delta.kept(),
          defaults: Defaults.t() | nil,
          refused: %{atom() => Error.t()},
          standing: Standing.t(),
          look: reference() | nil,
          topic: binary() | nil,
          turns: %{atom() => integer()},
          seen: non_neg_integer(),
          error: Error.t() | nil,
          superseded?: boolean()
        }

  @doc "The context of a socket that is being mounted."
  @spec new(Options.t(), Socket.t(), session :: map()) :: t()
  def new(%Options{} = options, %Socket{} = socket, session) do
    tab = Tab.of(socket)
    Tab.check!(tab, options.tab_keys, socket.view)

    sid =
      case SessionKey.fetch(session, options.session_id_key) do
        {:ok, sid} -> sid
        :error -> nil
      end

    %__MODULE__{
      options: options,
      view: socket.view,
      sid: sid,
      tab: tab,
      slice: Atom.to_string(socket.view),
      host: Host.key(socket),
      epoch: Session.epoch_at(System.os_time(:millisecond)),
      late: if(tab.mount == :fresh, do: :late_fresh, else: :late),
      minted?: tab.mount == :dead and SessionKey.minted?(session, sid)
    }
  end

  @doc """
  The context of a LiveComponent that is shown for the first time, or again after it was taken out of the page. It is in its
  LiveView's session and tab.
  """
  @spec of_component(Options.t(), Socket.t(), module(), id :: term(), lent :: map()) :: t()
  def of_component(%Options{} = options, %Socket{} = socket, component, id, %{context: around} = lent) do
    # Whole: two long ids may differ at their ends.
    slice = "#{component}:#{inspect(id, limit: :infinity, printable_limit: :infinity)}"
    before = Host.handle(lent, slice)
    shared = Map.take(around.options, [:engine, :secret, :session_id_key])

    %__MODULE__{
      options: struct!(options, shared),
      view: component,
      sid: around.sid,
      tab: tab_of_component(around.tab, before, lent),
      slice: slice,
      host: Host.key(socket),
      component?: true,
      minted?: around.minted?,
      mounting?: lent.mounting?,
      late: if(lent.dropped == nil, do: around.late, else: :late),
      epoch: max(Session.epoch(around.session) || around.epoch, lent.dropped || 0),
      session: before
    }
  end

  # What was stored since the page was loaded is not another page's. Once handles were dropped, it may be of any component.
  defp tab_of_component(%Tab{mount: :fresh} = tab, before, lent)
       when before != nil or (lent.dropped != nil and not lent.mounting?),
       do: %{tab | mount: :rejoin}

  defp tab_of_component(tab, _before, _lent), do: tab

  @doc "Whether the socket has one."
  @spec initialized?(Socket.t()) :: boolean()
  def initialized?(%Socket{private: private}), do: is_map_key(private, @private)

  @doc "The context that `put/2` put. Raises an `ArgumentError` on a socket that was never initialized."
  @spec fetch!(Socket.t()) :: t()
  def fetch!(%Socket{private: %{@private => %__MODULE__{} = context}}), do: context

  def fetch!(%Socket{}) do
    raise ArgumentError,
          "this socket has no stash: its LiveView needs `use LiveStash, adapter: DurableStash, stored_keys: [...]`"
  end

  @doc "Keeps the context in the socket."
  @spec put(Socket.t(), t()) :: Socket.t()
  def put(socket, %__MODULE__{} = context), do: LiveView.put_private(socket, @private, context)

  @doc "The keys that this mount can recover: those of a tab come back to that tab's rejoin only."
  @spec keys_in_scope(t()) :: [atom()]
  def keys_in_scope(%__MODULE__{tab: %{mount: :rejoin}, options: options}),
    do: options.session_keys ++ options.shared_keys ++ options.tab_keys

  def keys_in_scope(%__MODULE__{options: options}), do: options.session_keys ++ options.shared_keys

  @doc """
  A context whose handle belongs to the running engine and has no failure that was not answered. A restart, or a failed
  write, forgets the kept terms: everything is sent again.
  """
  @spec ready(t()) :: {:ok, t()} | {:error, Error.t(), t()}
  def ready(%__MODULE__{sid: nil} = context), do: failed(context, no_sid(context))
  def ready(%__MODULE__{superseded?: true} = context), do: failed(context, context.error)

  def ready(%__MODULE__{} = context),
    do: if(Host.superseded?(context), do: failed(context, superseded()), else: live(context))

  @doc "Recovery failed with these assigns: from now on only what changes is stashed."
  @spec unrecovered(t(), assigns :: map()) :: t()
  def unrecovered(%__MODULE__{defaults: nil, error: nil} = context, assigns),
    do: %{context | defaults: %{Defaults.of(keys_in_scope(context), assigns) | withheld?: true}}

  # What this LiveView stashed, or tried to, may be in these assigns.
  def unrecovered(%__MODULE__{} = context, _assigns), do: context

  @doc "Recovery told what is stored, and these are the assigns with it; `migrated` are keys that are not stored as they are."
  @spec found(t(), assigns :: map(), migrated :: [atom()]) :: t()
  def found(context, assigns, migrated \\ [])

  def found(%__MODULE__{defaults: nil, error: nil, options: options, kept: kept} = context, assigns, _migrated) do
    keys = options.session_keys ++ options.shared_keys ++ options.tab_keys
    %{context | defaults: Defaults.of(Enum.reject(keys, &is_map_key(kept, &1)), assigns)}
  end

  def found(%__MODULE__{defaults: defaults, kept: kept} = context, assigns, migrated),
    do: %{context | defaults: Defaults.recovered(defaults, kept, Map.take(assigns, migrated))}

  @doc "The mount is rendered, or stashes."
  @spec mounted(t(), assigns :: map()) :: t()
  def mounted(%__MODULE__{} = context, assigns) do
    if Defaults.awaited?(context.defaults),
      do: %{context | defaults: Defaults.mounted(context.defaults, assigns)},
      else: context
  end

  @doc "A write was not accepted."
  @spec failed(t(), Error.t()) :: {:error, Error.t(), t()}
  def failed(%__MODULE__{} = context, %Error{} = error) do
    {:error, error, %{context | error: error, superseded?: error.kind == :superseded}}
  end

  @doc "The engine took these terms, but for those of the keys in `refused`."
  @spec accepted(t(), [{atom(), term()}], refused :: %{atom() => Error.t()}) :: t()
  def accepted(%__MODULE__{} = context, sent, refused) do
    %{
      context
      | kept: Enum.into(sent, context.kept),
        defaults: Defaults.accepted(context.defaults, sent),
        refused: context.refused |> Map.drop(Keyword.keys(sent)) |> Map.merge(refused),
        error: nil
    }
  end

  @doc "Another LiveView's change, or its default, is this one's term now too, and nothing that this one has to send."
  @spec taken_over(t(), terms :: map(), default? :: boolean()) :: t()
  def taken_over(%__MODULE__{} = context, terms, default?) do
    %{
      context
      | kept: Map.merge(context.kept, terms),
        defaults: Defaults.taken_over(context.defaults, terms, default?),
        refused: Map.drop(context.refused, Map.keys(terms))
    }
  end

  defp live(%__MODULE__{session: nil} = context), do: open(context)

  defp live(%__MODULE__{session: session} = context) do
    case Session.status(session) do
      {:ok, %{superseded?: true}} ->
        failed(context, superseded())

      {:ok, %{down?: true}} ->
        open(context)

      {:ok, status} ->
        if Session.current?(session), do: {:ok, Standing.settle(context, status)}, else: open(context)

      {:error, error} ->
        failed(context, error)
    end
  end

  defp open(context) do
    %{options: options, tab: tab} = context

    claim = %{
      sid: context.sid,
      secrets: options.secret,
      view: context.slice,
      vsn: options.vsn,
      tab: tab.id,
      mount: mount(context),
      epoch: Session.epoch(context.session) || context.epoch,
      stores_tab: options.tab_keys != [],
      minted: context.minted?
    }

    case Session.open(options.engine, claim) do
      {:ok, session} -> {:ok, watch(opened(context, session))}
      {:error, error} -> failed(context, error)
    end
  end

  defp mount(%{tab: %{mount: :dead}}), do: :dead
  defp mount(%{mounting?: true, tab: tab}), do: tab.mount
  defp mount(%{session: nil, late: late}), do: late
  defp mount(_opened_before), do: :again

  defp opened(context, session) do
    Host.keep(%{context | session: session})
    %{context | session: session, kept: %{}, standing: Standing.inherited(context)}
  end

  defp watch(%{options: %{status: nil}} = context), do: context
  defp watch(%{tab: %{mount: :dead}} = context), do: context

  defp watch(context) do
    _without_it_the_assign_lags = Session.watch(context.session, self())
    context
  end

  defp superseded do
    Error.new(
      :superseded,
      "The tab has mounted again, and this LiveView changes nothing any more"
    )
  end

  defp no_sid(context) do
    Error.new(
      :refused,
      "The session has no id under #{inspect(context.options.session_id_key)}: put `plug :ensure_session_id` of " <>
        "DurableStash.Plug after :fetch_session in the router's pipeline"
    )
  end
end
