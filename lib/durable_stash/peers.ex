defmodule DurableStash.Peers do
  @moduledoc false
  # The LiveViews of one browser session on this node, which tell each other of the changes of their `sync: true` keys.
  #
  # Everybody ends with the same value, the one that the store has in the end: the engine numbers the writes of a session in
  # the order in which it takes them, and whoever hears of one that gives way to its own takes no notice. Of two changes the
  # later one stands in the end; of two defaults the earlier one, and of a change and a default the change. What is taken
  # over is kept as stashed: it is not stashed again, so nothing goes round in circles. Messages are sent and not waited
  # for, so that no LiveView is held up by another.

  alias DurableStash.Context
  alias DurableStash.Defaults
  alias DurableStash.Hook
  alias DurableStash.Session
  alias Phoenix.Component
  alias Phoenix.LiveView
  alias Phoenix.LiveView.Socket

  @hook :durable_stash_sync

  @doc false
  @spec child_spec(term()) :: Supervisor.child_spec()
  def child_spec(_options) do
    Registry.child_spec(keys: :duplicate, name: __MODULE__, partitions: System.schedulers_online())
  end

  @doc "From now on the LiveView hears of the others' changes. Before it recovers: so it misses none."
  @spec attach(Socket.t()) :: Socket.t()
  def attach(socket) do
    context = Context.fetch!(socket)
    leave_topics()

    if context.options.sync_keys == [] or context.sid == nil or context.tab.mount == :dead do
      socket
    else
      topic = topic(context)
      join(topic, nil)

      socket
      |> Context.put(%{context | topic: topic})
      |> LiveView.detach_hook(@hook, :handle_info)
      |> LiveView.attach_hook(@hook, :handle_info, &handle_info/2)
    end
  end

  @doc "The calling process is found under this key until it ends. Where the application is stopped there is nobody to find it."
  @spec join(key :: term(), value :: term()) :: :ok
  def join(key, value) do
    Registry.unregister(__MODULE__, key)
    Registry.register(__MODULE__, key, value)
    :ok
  rescue
    ArgumentError -> :ok
  end

  @doc "Who is found under this key."
  @spec lookup(key :: term()) :: [{pid(), value :: term()}]
  def lookup(key) do
    Registry.lookup(__MODULE__, key)
  rescue
    ArgumentError -> []
  end

  @doc """
  Recovery has brought these keys, and knew of all that the engine had taken by then. What is pushed of that arrives late: it is
  older than what recovery brought, or the same.
  """
  @spec recovered(Context.t(), [atom()]) :: Context.t()
  def recovered(%Context{topic: nil} = context, _keys), do: context
  def recovered(%Context{session: nil} = context, _keys), do: context

  def recovered(%Context{} = context, keys) do
    with {:ok, _written, seen} <- Session.turn(context.session),
         do: %{context | seen: seen, turns: Enum.into(keys, context.turns, &{&1, seen})},
         else: (_unknown -> context)
  end

  @doc "Tells the others of what the engine has just accepted."
  @spec tell(Context.t(), [{atom(), term()}]) :: Context.t()
  def tell(%Context{topic: nil} = context, _accepted), do: context

  def tell(%Context{options: options} = context, accepted) do
    with [_ | _] = changes <- Keyword.take(accepted, options.sync_keys),
         {:ok, turn, _seen} <- Session.turn(context.session) do
      others = for {pid, _value} <- lookup(context.topic), pid != self(), do: pid

      {defaults, changes} =
        Enum.split_with(changes, fn {key, term} -> Defaults.default?(context.defaults, key, term) end)

      for {rank, [_ | _] = changes} <- [{turn, changes}, {-turn, defaults}], reduce: context do
        context ->
          push(others, {@hook, rank, {context.view, options.vsn}, changes}, context)
          %{context | turns: Enum.into(Keyword.keys(changes), context.turns, &{&1, rank})}
      end
    else
      _nothing_to_tell -> context
    end
  end

  @doc false
  @spec handle_info(term(), Socket.t()) :: {:cont | :halt, Socket.t()}
  def handle_info({@hook, rank, origin, changes}, socket), do: {:halt, take_over(socket, rank, origin, changes)}
  def handle_info(_message, socket), do: {:cont, socket}

  defp push([], _message, _context), do: :ok

  # As recovery would bring it back, so that a value does not depend on the way that it came.
  defp push(others, {@hook, rank, origin, changes}, context) do
    changes =
      for {key, term} <- changes, {:ok, value} <- [Session.recovered_form(context.session, term)] do
        {scope(context.options, key), key, value}
      end

    Enum.each(others, &send(&1, {@hook, rank, origin, changes}))
  end

  defp take_over(socket, rank, origin, changes) do
    context = Context.fetch!(socket)

    values =
      for {scope, key, value} <- changes,
          concerned?(context, origin, scope, key),
          abs(rank) > context.seen,
          not is_map_key(context.turns, key) or rank > context.turns[key],
          not unsent?(context, socket.assigns, key),
          do: {key, value}

    keys = Keyword.keys(values)
    socket = Component.assign(socket, values)

    context = Context.taken_over(context, Map.take(socket.assigns, keys), rank < 0)
    context = %{context | turns: Enum.into(keys, context.turns, &{&1, rank})}
    socket |> Context.put(context) |> Hook.written()
  end

  defp concerned?(%Context{options: options}, _origin, :shared, key),
    do: key in options.sync_keys and key in options.shared_keys

  # A session key belongs to one version of one view.
  defp concerned?(%Context{options: options, view: view}, origin, :session, key),
    do: origin == {view, options.vsn} and key in options.sync_keys and key in options.session_keys

  # What was changed here goes out with the next stash, and is the later one then.
  defp unsent?(%Context{kept: kept, defaults: defaults}, assigns, key) do
    with :error <- Map.fetch(kept, key),
         :error <- Defaults.fetch(defaults, key) do
      false
    else
      {:ok, old} -> is_map_key(assigns, key) and assigns[key] !== old
    end
  end

  defp scope(options, key), do: if(key in options.shared_keys, do: :shared, else: :session)

  # Those of a stash that the LiveView has asked for before this one.
  defp leave_topics do
    for topic <- Registry.keys(__MODULE__, self()), is_binary(topic), do: Registry.unregister(__MODULE__, topic)
    :ok
  rescue
    ArgumentError -> :ok
  end

  # One document, one topic. Neither the session's id nor a secret can be read off it.
  defp topic(%Context{sid: sid, options: options}),
    do: :crypto.hash(:sha256, :erlang.term_to_binary({options.engine, sid, options.secret}))
end
