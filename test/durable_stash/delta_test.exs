defmodule DurableStash.DeltaTest do
  use ExUnit.Case, async: true

  alias DurableStash.Delta

  test "everything assigned is new at first" do
    assert Delta.changed([:a, :b], %{a: 1, b: nil, c: 3}, %{}) == [a: 1, b: nil]
  end

  test "a key that is not assigned is left out" do
    assert Delta.changed([:a, :b], %{a: 1}, %{}) == [a: 1]
  end

  test "an equal term is not a change, and a number of another type is" do
    assert Delta.changed([:a], %{a: %{x: [1]}}, %{a: %{x: [1]}}) == []
    assert Delta.changed([:a], %{a: 1.0}, %{a: 1}) == [a: 1.0]
    assert Delta.changed([:a], %{a: -0.0}, %{a: 0.0}) == [a: -0.0]
    assert Delta.changed([:a], %{a: nil}, %{a: false}) == [a: nil]
  end

  test "fault_51: an untouched term costs the same whatever its size" do
    large = for n <- 1..200_000, do: %{n: n, text: "item #{n}"}
    small = [%{n: 1, text: "item 1"}]

    reductions = fn term ->
      {:reductions, before} = Process.info(self(), :reductions)
      assert Delta.changed([:a], %{a: term}, %{a: term}) == []
      {:reductions, after_it} = Process.info(self(), :reductions)
      after_it - before
    end

    reductions.(small)
    assert_in_delta reductions.(large), reductions.(small), 100
  end
end
