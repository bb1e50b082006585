defmodule DurableStash.Defaults do
  @moduledoc false
  # The terms that a mount gave to the keys that recovery did not bring, or only by a migration. While a key has its default, a
  # stash sets it only where nothing is stored by then: two tabs that open on an empty session take nothing from each other.

  alias DurableStash.Delta

  # `terms` are the defaults. A key leaves once another term of its own is accepted. `unassigned` were not assigned yet at
  # recovery: what the mount gives them is their default. `withheld?`: recovery failed, so it is not known what is stored,
  # and no default is sent.
  defstruct terms: %{}, unassigned: [], withheld?: false

  @type t :: %__MODULE__{terms: Delta.kept(), unassigned: [atom()], withheld?: boolean()}

  @doc "Recovery did not bring these keys."
  @spec of([atom()], assigns :: map()) :: t()
  def of(keys, assigns) do
    {assigned, unassigned} = Enum.split_with(keys, &is_map_key(assigns, &1))
    %__MODULE__{terms: Map.take(assigns, assigned), unassigned: unassigned}
  end

  @doc "Another recovery brought the kept terms; of the others those are defaults that were before, or were migrated."
  @spec recovered(t() | nil, kept :: Delta.kept(), migrated :: Delta.kept()) :: t()
  def recovered(nil, kept, migrated), do: recovered(%__MODULE__{}, kept, migrated)

  def recovered(%__MODULE__{} = defaults, kept, migrated) do
    brought = Map.keys(kept)
    terms = defaults.terms |> Map.drop(brought) |> Map.merge(migrated)
    %__MODULE__{terms: terms, unassigned: defaults.unassigned -- brought}
  end

  @doc "The mount is rendered, or stashes: what was assigned since recovery is a default too."
  @spec mounted(t() | nil, assigns :: map()) :: t() | nil
  def mounted(%__MODULE__{unassigned: [_ | _] = keys} = defaults, assigns),
    do: %{defaults | terms: Map.merge(Map.take(assigns, keys), defaults.terms), unassigned: []}

  def mounted(defaults, _assigns), do: defaults

  @doc "Whether there are keys whose default the mount may still assign."
  @spec awaited?(t() | nil) :: boolean()
  def awaited?(defaults), do: match?(%__MODULE__{unassigned: [_ | _]}, defaults)

  @doc "The terms that a stash leaves out."
  @spec known(t() | nil, Delta.kept()) :: Delta.kept()
  def known(%__MODULE__{withheld?: true, terms: terms}, kept), do: Map.merge(terms, kept)
  def known(_sent, kept), do: kept

  @doc "The key's default."
  @spec fetch(t() | nil, atom()) :: {:ok, term()} | :error
  def fetch(nil, _key), do: :error
  def fetch(%__MODULE__{terms: terms}, key), do: Map.fetch(terms, key)

  @doc "Whether the term is the key's default."
  @spec default?(t() | nil, atom(), term()) :: boolean()
  def default?(defaults, key, term) do
    case fetch(defaults, key) do
      {:ok, default} -> default === term
      :error -> false
    end
  end

  @doc "The engine took these terms."
  @spec accepted(t() | nil, [{atom(), term()}]) :: t()
  def accepted(nil, _sent), do: %__MODULE__{}

  def accepted(%__MODULE__{} = defaults, sent) do
    changed = for {key, term} <- sent, not default?(defaults, key, term), do: key
    %{defaults | terms: Map.drop(defaults.terms, changed)}
  end

  @doc "Another LiveView's change, or its default, is this one's term now too."
  @spec taken_over(t() | nil, Delta.kept(), default? :: boolean()) :: t() | nil
  def taken_over(nil, _terms, _default?), do: nil

  def taken_over(%__MODULE__{} = defaults, terms, default?) do
    keys = Map.keys(terms)
    others = Map.drop(defaults.terms, keys)
    terms = if default?, do: Map.merge(others, terms), else: others
    %{defaults | terms: terms, unassigned: defaults.unassigned -- keys}
  end
end
