defmodule DurableStash.Options do
  @moduledoc false
  # What one LiveView says in `use LiveStash, adapter: DurableStash, ...`, validated at each mount.

  alias DurableStash.Schema

  # Assigns that LiveView owns: assign/3 raises for them.
  @reserved_assigns [:__changed__, :flash, :uploads, :streams, :socket, :myself]

  @schema [
    stored_keys: {:required, :any, "a list such as [:count, theme: :shared, draft: :reconnect]"},
    vsn: {1, :positive, "a positive integer"},
    migrate: {nil, :any, "a function of two arguments, such as &__MODULE__.migrate/2"},
    secret: {nil, {:nullable, :secret}, "a binary of at least 32 bytes, or a list of them with the current one first"},
    session_id_key: {"sid", :string, "a string, the session id's key in the session"},
    engine: {DurableStash.Engine, :atom, "the name of an engine"},
    status: {nil, {:nullable, :atom}, "the name of an assign, such as :stash_status"},
    durability: {:async, {:in, [:async, :await]}, "`:async` or `:await`"},
    # LiveStash acts on it and hands it on.
    auto_stash: {false, :boolean, "a boolean"}
  ]

  @where "use LiveStash, adapter: DurableStash"

  @fields Keyword.keys(@schema) -- [:stored_keys]
  @keys [:session_keys, :tab_keys, :shared_keys, :sync_keys]
  @enforce_keys @keys ++ @fields
  @derive {Inspect, except: [:secret]}
  defstruct @keys ++ @fields

  @scopes [:session, :reconnect, :shared]

  @type t :: %__MODULE__{
          session_keys: [atom()],
          tab_keys: [atom()],
          shared_keys: [atom()],
          # Of the session and shared keys, those whose changes are pushed to the session's other LiveViews.
          sync_keys: [atom()],
          vsn: pos_integer(),
          migrate: (pos_integer(), map() -> map()) | nil,
          secret: [binary(), ...] | nil,
          session_id_key: String.t(),
          engine: atom(),
          status: atom() | nil,
          durability: :async | :await,
          auto_stash: boolean()
        }

  @doc "Validates a LiveView's options. Raises an `ArgumentError` that names the option and what it takes."
  @spec new!(keyword()) :: t()
  def new!(options) do
    validated = Schema.validate!(options, @schema, @where)
    {stored_keys, validated} = Keyword.pop!(validated, :stored_keys)
    scopes = scopes!(stored_keys)

    options =
      struct!(__MODULE__, [
        {:session_keys, for({key, :session, _sync} <- scopes, do: key)},
        {:tab_keys, for({key, :reconnect, _sync} <- scopes, do: key)},
        {:shared_keys, for({key, :shared, _sync} <- scopes, do: key)},
        {:sync_keys, for({key, _scope, true} <- scopes, do: key)} | validated
      ])

    check_migrate!(options.migrate)
    check_status!(options.status, scopes)
    options
  end

  defp scopes!(stored_keys) when is_list(stored_keys) do
    if List.improper?(stored_keys) do
      raise ArgumentError, "#{@where}: the option :stored_keys takes a proper list, got: #{inspect(stored_keys)}"
    end

    scopes = Enum.map(stored_keys, &scope!/1)
    keys = Enum.map(scopes, &elem(&1, 0))

    case keys -- Enum.uniq(keys) do
      [] ->
        scopes

      [twice | _rest] ->
        raise ArgumentError, "#{@where}: #{inspect(twice)} is in :stored_keys more than once"
    end
  end

  defp scopes!(other) do
    raise ArgumentError,
          "#{@where}: the option :stored_keys takes a list such as [:count, theme: :shared, draft: :reconnect], " <>
            "got: #{inspect(other)}"
  end

  defp scope!({key, :permanent}) when is_atom(key) do
    raise ArgumentError,
          "#{@where}: the scope :permanent of #{inspect(key)} in :stored_keys is reserved for a later release. " <>
            "The scopes are :session, :shared and :reconnect"
  end

  defp scope!({key, scope}) when is_atom(key) and scope in @scopes, do: {assign!(key), scope, false}

  defp scope!({key, {scope, options}}) when is_atom(key) and scope in @scopes,
    do: {assign!(key), scope, sync!(key, scope, options)}

  defp scope!({key, scope}) when is_atom(key) do
    raise ArgumentError,
          "#{@where}: the scope of #{inspect(key)} in :stored_keys is :session, :shared or :reconnect, or one of the " <>
            "first two with an option, as {:shared, sync: true}, got: #{inspect(scope)}"
  end

  defp scope!(key) when is_atom(key), do: {assign!(key), :session, false}

  defp scope!(other) do
    raise ArgumentError,
          "#{@where}: :stored_keys holds atoms and pairs such as draft: :reconnect, got: #{inspect(other)}"
  end

  @sync [sync: {false, :boolean, "a boolean"}]

  defp sync!(key, scope, options) do
    [sync: sync?] = Schema.validate!(options, @sync, "#{@where}: the scope of #{inspect(key)} in :stored_keys")

    if sync? and scope == :reconnect do
      raise ArgumentError,
            "#{@where}: sync: true of #{inspect(key)} in :stored_keys is for :session and :shared. A :reconnect key is " <>
              "one tab's own, and there is nobody to push it to"
    end

    sync?
  end

  defp assign!(key) when key in [nil, true, false | @reserved_assigns] do
    raise ArgumentError,
          "#{@where}: #{inspect(key)} in :stored_keys is not an assign that can be set"
  end

  defp assign!(key), do: key

  defp check_migrate!(migrate) when is_nil(migrate) or is_function(migrate, 2), do: :ok

  defp check_migrate!(other) do
    raise ArgumentError,
          "#{@where}: the option :migrate takes a function of two arguments, the old vsn and the stored map, " <>
            "got: #{inspect(other)}"
  end

  defp check_status!(status, _scopes) when status in @reserved_assigns do
    raise ArgumentError, "#{@where}: #{inspect(status)} in the option :status is not an assign that can be set"
  end

  defp check_status!(status, scopes) do
    if List.keymember?(scopes, status, 0) do
      raise ArgumentError,
            "#{@where}: the assign #{inspect(status)} of the option :status is also in :stored_keys"
    end
  end
end
