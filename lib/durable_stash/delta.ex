defmodule DurableStash.Delta do
  @moduledoc false
  # What changed since the engine last accepted it. `===` of a term with itself is a pointer comparison, and assign/3
  # keeps the old term when the new one is equal, so an untouched assign costs nanoseconds whatever its size.

  @type kept :: %{atom() => term()}

  @doc """
  The assigns of `keys` that are not the kept terms. A key that is not assigned is left out.
  """
  @spec changed([atom()], assigns :: map(), kept()) :: [{atom(), term()}]
  def changed(keys, assigns, kept) do
    for key <- keys, %{^key => term} <- [assigns], changed?(kept, key, term), do: {key, term}
  end

  defp changed?(kept, key, term) do
    case kept do
      %{^key => old} -> old !== term
      %{} -> true
    end
  end
end
