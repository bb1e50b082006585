defmodule DurableStash.Storable do
  @moduledoc """
  What of a term is stored, said a second time and straight from design.md §8, for the tests to compare with.
  """

  @levels 128

  @doc "What comes back of a term that can be stored."
  @spec stored(term()) :: {:ok, term()} | :refused
  def stored(term) do
    {:ok, stored(term, @levels)}
  catch
    :refused -> :refused
  end

  @doc "How many lists and maps may be inside each other."
  @spec levels() :: pos_integer()
  def levels, do: @levels

  @doc "The text that a key of a map becomes, if it can be one."
  @spec key(term()) :: {:ok, String.t()} | :refused
  def key(key) when is_atom(key) and not is_nil(key), do: {:ok, Atom.to_string(key)}
  def key(nil), do: {:ok, "nil"}
  def key(key) when is_integer(key), do: {:ok, Integer.to_string(key)}
  def key(key) when is_binary(key), do: if(String.valid?(key), do: {:ok, key}, else: :refused)
  def key(_other), do: :refused

  defp stored(term, _levels) when term in [nil, true, false] or is_number(term), do: term
  defp stored(term, _levels) when is_atom(term), do: Atom.to_string(term)
  defp stored(term, _levels) when is_binary(term), do: if(String.valid?(term), do: term, else: throw(:refused))
  defp stored(term, _levels) when is_struct(term), do: throw(:refused)
  defp stored(term, 0) when is_list(term) or is_map(term), do: throw(:refused)

  defp stored(term, levels) when is_list(term),
    do: if(List.improper?(term), do: throw(:refused), else: Enum.map(term, &stored(&1, levels - 1)))

  defp stored(term, levels) when is_map(term) do
    stored = Map.new(term, fn {key, value} -> {stored_key(key), stored(value, levels - 1)} end)
    if map_size(stored) == map_size(term), do: stored, else: throw(:refused)
  end

  defp stored(_other, _levels), do: throw(:refused)

  defp stored_key(key) do
    with :refused <- key(key), do: throw(:refused)
    {:ok, text} = key(key)
    text
  end
end
