defmodule DurableStash.RunningEngine do
  @moduledoc false
  # A running engine, as LiveViews find it without asking its process, and as its process finds it again: what runs in the native
  # library does not end with the process that was killed.

  alias DurableStash.Config

  # `fingerprint` tells one configuration from another and shows none, since LiveViews hold this too. `draining` is set once
  # the engine is told to drain, from when on it is of no use.
  @enforce_keys [
    :name,
    :resource,
    :generation,
    :on_invalid_value,
    :recover_timeout,
    :max_value_bytes,
    :fingerprint,
    :draining
  ]
  defstruct @enforce_keys

  @type t :: %__MODULE__{
          name: atom(),
          resource: reference(),
          generation: pos_integer(),
          on_invalid_value: :skip | :raise,
          recover_timeout: pos_integer(),
          max_value_bytes: pos_integer(),
          fingerprint: binary(),
          draining: :atomics.atomics_ref()
        }

  @doc "From now on this is the engine of this name."
  @spec publish(name :: atom(), resource :: reference(), Config.t()) :: t()
  def publish(name, resource, %Config{} = config) do
    engine = %__MODULE__{
      name: name,
      resource: resource,
      generation: System.unique_integer([:positive]),
      on_invalid_value: config.on_invalid_value,
      recover_timeout: config.recover_timeout,
      max_value_bytes: config.max_value_bytes,
      fingerprint: fingerprint(config),
      draining: :atomics.new(1, signed: false)
    }

    :persistent_term.put({__MODULE__, name}, engine)
    engine
  end

  @doc "The engine of this name."
  @spec fetch(name :: atom()) :: {:ok, t()} | :error
  def fetch(name) do
    case :persistent_term.get({__MODULE__, name}, nil) do
      nil -> :error
      engine -> {:ok, engine}
    end
  end

  @doc "There is no engine of this name any more."
  @spec erase(name :: atom()) :: :ok
  def erase(name) do
    :persistent_term.erase({__MODULE__, name})
    :ok
  end

  @doc "Whether it does what an engine of this configuration would, and still accepts."
  @spec serves?(t(), Config.t()) :: boolean()
  def serves?(%__MODULE__{} = engine, %Config{} = config),
    do: engine.fingerprint == fingerprint(config) and :atomics.get(engine.draining, 1) == 0

  @doc "It is about to be told to drain."
  @spec drains(t()) :: :ok
  def drains(%__MODULE__{draining: draining}), do: :atomics.put(draining, 1, 1)

  defp fingerprint(config), do: :crypto.hash(:sha256, :erlang.term_to_binary(config, [:deterministic]))
end
