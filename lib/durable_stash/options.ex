defmodule DurableStash.Options do
  @moduledoc false
  # What one LiveView says in `use LiveStash, adapter: DurableStash, ...`, or `use DurableStash, ...`, validated at each
  # mount; and what a LiveComponent says in `use DurableStash.Component, ...`.

  alias DurableStash.Schema
  alias DurableStash.Scopes

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

  @component "use DurableStash.Component"
  @component_schema Keyword.take(@schema, [:stored_keys, :vsn, :migrate, :durability, :auto_stash])

  @doc "Validates a LiveView's options. Raises an `ArgumentError` that names the option and what it takes."
  @spec new!(keyword()) :: t()
  def new!(options) do
    {scopes, options} = validated!(options, @schema, @where)
    check_status!(options.status, scopes)
    options
  end

  @doc """
  Validates a LiveComponent's options. Whose session it is, and where that is stored, its LiveView says.
  """
  @spec component!(keyword()) :: t()
  def component!(options) do
    {scopes, options} = validated!(options, @component_schema, @component)

    with [key | _rest] <- Scopes.sync_keys(scopes) do
      raise ArgumentError,
            "#{@component}: sync: true of #{inspect(key)} in :stored_keys is for LiveViews. A LiveComponent gets no " <>
              "messages: let its LiveView store the key, and hand it down"
    end

    options
  end

  defp validated!(options, schema, where) do
    validated = Schema.validate!(options, schema, where)
    {stored_keys, validated} = Keyword.pop!(validated, :stored_keys)
    scopes = Scopes.parse!(stored_keys, where)
    check_migrate!(validated[:migrate], where)

    keys = [
      session_keys: Scopes.keys(scopes, :session),
      tab_keys: Scopes.keys(scopes, :reconnect),
      shared_keys: Scopes.keys(scopes, :shared),
      sync_keys: Scopes.sync_keys(scopes)
    ]

    {scopes, struct!(__MODULE__, defaults() ++ validated ++ keys)}
  end

  defp defaults, do: for({name, {default, _type, _takes}} <- @schema, name != :stored_keys, do: {name, default})

  defp check_migrate!(migrate, _where) when is_nil(migrate) or is_function(migrate, 2), do: :ok

  defp check_migrate!(other, where) do
    raise ArgumentError,
          "#{where}: the option :migrate takes a function of two arguments, the old vsn and the stored map, " <>
            "got: #{inspect(other)}"
  end

  defp check_status!(status, scopes) do
    if Scopes.reserved?(status) do
      raise ArgumentError, "#{@where}: #{inspect(status)} in the option :status is not an assign that can be set"
    end

    if List.keymember?(scopes, status, 0) do
      raise ArgumentError,
            "#{@where}: the assign #{inspect(status)} of the option :status is also in :stored_keys"
    end
  end
end
