defmodule DurableStash.Seeds do
  @moduledoc """
  Runs a property once for every seed. A failure names its seed: `DURABLE_STASH_SEED=<seed>` replays it alone, and
  `DURABLE_STASH_SEEDS=<count>` runs more of them.
  """

  @doc """
  Calls `property` with each seed from 1 to `count`, `:rand` being seeded with it. Answers what it returned, most recent
  first. Where more were asked for, it prints how many `things` there were (scripts/hostile).
  """
  @spec each(pos_integer(), things :: String.t(), (seed :: integer() -> result)) :: [result] when result: term()
  def each(count, things, property) do
    seeds = seeds(count)
    results = Enum.reduce(seeds, [], &[run(&1, property) | &2])
    if number("DURABLE_STASH_SEEDS"), do: IO.puts("\nhostile: #{things}=#{length(results)}")
    results
  end

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
