defmodule DurableStash.Kills.ScheduleTest do
  use ExUnit.Case, async: true

  alias DurableStash.Kills.Schedule

  @nodes ["a", "b"]

  test "the same seed makes the same schedule, and another one another" do
    assert Schedule.steps(7, @nodes, 10) == Schedule.steps(7, @nodes, 10)
    assert Schedule.steps(7, @nodes, 10) != Schedule.steps(8, @nodes, 10)
  end

  test "there are exactly as many kills as asked for, on both nodes, and every kind of step" do
    for kills <- [2, 5, 10], seed <- 1..100, reduce: MapSet.new() do
      kinds ->
        schedule = Schedule.steps(seed, @nodes, kills)
        assert Map.keys(schedule) == @nodes
        shares = for {_node, steps} <- schedule, do: Enum.count(steps, &(elem(&1, 0) == :kill))
        assert Enum.sum(shares) == kills
        assert Enum.min(shares) == div(kills, 2)
        for {_node, steps} <- schedule, step <- steps, into: kinds, do: {elem(step, 0), elem(elem(step, 1), 0)}
    end
    |> then(fn kinds ->
      assert Enum.sort(kinds) == [freeze: :work, kill: :boot, kill: :drain, kill: :work, term: :work]
    end)
  end

  test "only a node that does not run is killed while it starts" do
    for seed <- 1..100, {_node, steps} <- Schedule.steps(seed, @nodes, 10) do
      for [before, {:kill, {:boot, _ms}}] <- Enum.chunk_every(steps, 2, 1, :discard) do
        assert elem(before, 0) in [:kill, :term]
      end
    end
  end
end
