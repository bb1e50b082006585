defmodule DurableStash.Scopes do
  @moduledoc false
  # What `stored_keys:` says: which assigns are stored, who shares them, and whose changes are pushed.

  alias DurableStash.Schema

  # Assigns that LiveView owns: assign/3 raises for them.
  @reserved_assigns [:__changed__, :flash, :uploads, :streams, :socket, :myself]

  @scopes [:session, :reconnect, :shared]
  @sync [sync: {false, :boolean, "a boolean"}]

  @type t :: [{key :: atom(), :session | :reconnect | :shared, sync? :: boolean()}]

  @doc "Raises an `ArgumentError` that begins with `where` and names what is wrong."
  @spec parse!(term(), where :: String.t()) :: t()
  def parse!(stored_keys, where) when is_list(stored_keys) do
    if List.improper?(stored_keys) do
      raise ArgumentError, "#{where}: the option :stored_keys takes a proper list, got: #{inspect(stored_keys)}"
    end

    scopes = Enum.map(stored_keys, &scope!(&1, where))
    keys = Enum.map(scopes, &elem(&1, 0))

    case keys -- Enum.uniq(keys) do
      [] -> scopes
      [twice | _rest] -> raise ArgumentError, "#{where}: #{inspect(twice)} is in :stored_keys more than once"
    end
  end

  def parse!(other, where) do
    raise ArgumentError,
          "#{where}: the option :stored_keys takes a list such as [:count, theme: :shared, draft: :reconnect], " <>
            "got: #{inspect(other)}"
  end

  @doc "The keys of a scope."
  @spec keys(t(), :session | :reconnect | :shared) :: [atom()]
  def keys(scopes, scope), do: for({key, ^scope, _sync} <- scopes, do: key)

  @doc "The keys whose changes are pushed."
  @spec sync_keys(t()) :: [atom()]
  def sync_keys(scopes), do: for({key, _scope, true} <- scopes, do: key)

  @doc "Whether LiveView keeps the assign for itself."
  @spec reserved?(term()) :: boolean()
  def reserved?(key), do: key in @reserved_assigns

  defp scope!({key, :permanent}, where) when is_atom(key) do
    raise ArgumentError,
          "#{where}: the scope :permanent of #{inspect(key)} in :stored_keys is reserved for a later release. " <>
            "The scopes are :session, :shared and :reconnect"
  end

  defp scope!({key, scope}, where) when is_atom(key) and scope in @scopes, do: {assign!(key, where), scope, false}

  defp scope!({key, {scope, options}}, where) when is_atom(key) and scope in @scopes,
    do: {assign!(key, where), scope, sync!(key, scope, options, where)}

  defp scope!({key, scope}, where) when is_atom(key) do
    raise ArgumentError,
          "#{where}: the scope of #{inspect(key)} in :stored_keys is :session, :shared or :reconnect, or one of the " <>
            "first two with an option, as {:shared, sync: true}, got: #{inspect(scope)}"
  end

  defp scope!(key, where) when is_atom(key), do: {assign!(key, where), :session, false}

  defp scope!(other, where) do
    raise ArgumentError,
          "#{where}: :stored_keys holds atoms and pairs such as draft: :reconnect, got: #{inspect(other)}"
  end

  defp sync!(key, scope, options, where) do
    [sync: sync?] = Schema.validate!(options, @sync, "#{where}: the scope of #{inspect(key)} in :stored_keys")

    if sync? and scope == :reconnect do
      raise ArgumentError,
            "#{where}: sync: true of #{inspect(key)} in :stored_keys is for :session and :shared. A :reconnect key is " <>
              "one tab's own, and there is nobody to push it to"
    end

    sync?
  end

  defp assign!(key, where) do
    if key in [nil, true, false] or reserved?(key) do
      raise ArgumentError, "#{where}: #{inspect(key)} in :stored_keys is not an assign that can be set"
    end

    key
  end
end
