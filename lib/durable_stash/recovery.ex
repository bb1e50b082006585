defmodule DurableStash.Recovery do
  @moduledoc false
  # What a mount gets back: the declared keys that are in scope and stored, under the view's own version.

  alias DurableStash.Context
  alias DurableStash.Error
  alias DurableStash.Migration
  alias DurableStash.Session

  @typedoc """
  `stored` are the keys of `values` that are stored as they are, under the view's own version; the others were migrated,
  last from the version `from`.
  """
  @type found :: %{
          values: %{atom() => term()},
          stored: [atom()],
          from: pos_integer() | nil,
          stale?: boolean()
        }

  @doc """
  Reads what is stored. The store is not asked where nothing can be in scope.
  """
  @spec run(Context.t()) :: {:recovered, found(), Context.t()} | :not_found | {:error, Error.t()}
  def run(%Context{} = context) do
    if context.minted? or Context.keys_in_scope(context) == [],
      do: :not_found,
      else: read(context)
  end

  defp read(context) do
    with {:ok, context} <- ready(context),
         {:ok, answer} <- Session.recover(context.session),
         found = %{values: %{}, stored: [], from: nil, stale?: answer.stale},
         {:ok, found} <- gather(parts(context, answer), found, context) do
      found = shared(answer.shared, found, context)
      if found.values == %{}, do: :not_found, else: {:recovered, found, context}
    end
  end

  # That a read could not be made says nothing about the writes.
  defp ready(context) do
    with {:error, error, _context} <- Context.ready(context), do: {:error, error}
  end

  # What all views share has no version. It goes before what an older version of this view kept to itself.
  defp shared(pairs, found, %Context{options: options}) do
    values = pairs |> Map.new() |> declared(options.shared_keys)
    %{found | values: Map.merge(found.values, values), stored: Map.keys(values) ++ found.stored}
  end

  # What is stored of the view, by the version that stored it, and for which keys. The tab's can be older than the session's: another
  # tab may have brought those to this version.
  defp parts(%Context{tab: %{mount: :rejoin}, options: options}, %{vsn: vsn, tab_vsn: vsn} = answer),
    do: [{vsn, answer.session ++ answer.tab, options.session_keys ++ options.tab_keys}]

  defp parts(%Context{tab: %{mount: :rejoin}, options: options}, answer) do
    [
      {answer.vsn, answer.session, options.session_keys},
      {answer.tab_vsn, answer.tab, options.tab_keys}
    ]
  end

  defp parts(%Context{options: options}, answer), do: [{answer.vsn, answer.session, options.session_keys}]

  defp gather([], found, _context), do: {:ok, found}

  defp gather([{vsn, pairs, keys} | parts], found, %Context{options: options} = context) do
    stored = Map.new(pairs)

    cond do
      vsn == options.vsn ->
        values = declared(stored, keys)

        found = %{
          found
          | values: Map.merge(found.values, values),
            stored: Map.keys(values) ++ found.stored
        }

        gather(parts, found, context)

      options.migrate == nil or stored == %{} ->
        gather(parts, found, context)

      true ->
        timeout = context.session.engine.recover_timeout

        with {:ok, migrated} <- Migration.run(options.migrate, vsn, stored, timeout) do
          # A key that was the view's own may be a shared one now.
          values = Map.merge(found.values, declared(migrated, keys ++ options.shared_keys))
          gather(parts, %{found | values: values, from: vsn}, context)
        end
    end
  end

  # Stored names are text; a migration may also name them by the declared atoms. Nothing stored becomes an atom.
  defp declared(stored, keys) do
    for key <- keys, {:ok, value} <- [fetch(stored, key)], into: %{}, do: {key, value}
  end

  defp fetch(stored, key) do
    with :error <- Map.fetch(stored, Atom.to_string(key)), do: Map.fetch(stored, key)
  end
end
