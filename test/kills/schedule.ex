defmodule DurableStash.Kills.Schedule do
  @moduledoc """
  What is done to the nodes of one round, and when. The same seed makes the same schedule.

  A step is

    * `{:kill, moment}`: SIGKILL, and a restart;
    * `{:term, moment}`: SIGTERM, the wait for an orderly end, and a restart;
    * `{:freeze, moment, ms}`: SIGSTOP, and SIGCONT so long after it.

  A moment is `{:work, ms}` after the node is ready (or after the step before), `{:boot, ms}` after it is started, or
  `{:drain, work, ms}`: SIGTERM after so much work, and so long after that, in the midst of the shutdown, SIGKILL.
  """

  @type moment :: {:work, pos_integer()} | {:boot, pos_integer()} | {:drain, pos_integer(), pos_integer()}
  @type step :: {:kill, moment()} | {:term, moment()} | {:freeze, moment(), pos_integer()}

  @doc "The steps of each node, with `kills` kills in all."
  @spec steps(seed :: integer(), nodes :: [node], kills :: pos_integer()) :: %{node => [step()]} when node: term()
  def steps(seed, nodes, kills) do
    shares = for index <- 0..(length(nodes) - 1), do: div(kills + index, length(nodes))

    for {{node, share}, index} <- nodes |> Enum.zip(shares) |> Enum.with_index(), into: %{} do
      {node, steps(:rand.seed_s(:exsss, 1_000 * seed + index), share, true, [])}
    end
  end

  defp steps(_rng, 0, _started?, steps), do: Enum.reverse(steps)

  # A node that has just been started can be killed before it is ready.
  defp steps(rng, kills, started?, steps) do
    {die, rng} = :rand.uniform_s(20, rng)
    {work, rng} = work(rng)

    cond do
      die <= 4 ->
        {ms, rng} = frozen(rng)
        steps(rng, kills, false, [{:freeze, work, ms} | steps])

      die <= 7 ->
        steps(rng, kills, true, [{:term, work} | steps])

      die <= 9 ->
        {:work, before} = work
        {ms, rng} = :rand.uniform_s(150, rng)
        steps(rng, kills - 1, true, [{:kill, {:drain, before, ms}} | steps])

      die <= 11 and started? ->
        {ms, rng} = :rand.uniform_s(800, rng)
        steps(rng, kills - 1, true, [{:kill, {:boot, ms}} | steps])

      true ->
        steps(rng, kills - 1, true, [{:kill, work} | steps])
    end
  end

  defp work(rng) do
    {ms, rng} = :rand.uniform_s(1_200, rng)
    {{:work, ms}, rng}
  end

  # Mostly shorter than a request may take, now and then longer.
  defp frozen(rng) do
    case :rand.uniform_s(4, rng) do
      {1, rng} -> longer(1_500, :rand.uniform_s(2_000, rng))
      {_shorter, rng} -> :rand.uniform_s(900, rng)
    end
  end

  defp longer(by, {ms, rng}), do: {by + ms, rng}
end
