defmodule DurableStash.Seeds do
  @moduledoc """
  Runs a property once for every seed. A failure names its seed: `DURABLE_STASH_SEED=<seed>` replays it alone, and
  `DURABLE_STASH_SEEDS=<count>` runs more of them.
  """

  @doc "Calls `property` with each seed from 1 to `count`, `:rand` being seeded with it. Answers how many ran."
  @spec each(pos_integer(), (seed :: integer() -> term())) :: pos_integer()
  def each(count, property) do
    seeds = seeds(count)
    Enum.each(seeds, &run(&1, property))
    Enum.count(seeds)
  end

  @doc "How often a property runs that is to run `count` times."
  @spec count(pos_integer()) :: pos_integer()
  def count(count), do: Enum.count(seeds(count))

  defp seeds(count) do
    case {number("DURABLE_STASH_SEED"), number("DURABLE_STASH_SEEDS")} do
      {nil, nil} -> 1..count
      {nil, more} -> 1..more
      {seed, _more} -> [seed]
    end
  end

  defp run(seed, property) do
    :rand.seed(:exsss, seed)
    property.(seed)
  rescue
    error ->
      IO.puts(:stderr, "\nDURABLE_STASH_SEED=#{seed} replays this:")
      reraise error, __STACKTRACE__
  end

  defp number(name) do
    with text when is_binary(text) <- System.get_env(name), do: String.to_integer(text)
  end
end
