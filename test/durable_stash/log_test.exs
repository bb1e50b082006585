defmodule DurableStash.LogTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog

  alias DurableStash.Log

  test "a cause is logged once a minute, another one beside it" do
    cause = make_ref()

    log =
      capture_log(fn ->
        for n <- 1..100, do: Log.once_a_minute({cause, :a}, :error, "first #{n}")
        Log.once_a_minute({cause, :b}, :warning, "second")
      end)

    assert log =~ "[error] [DurableStash] first 1\n" or log =~ "[DurableStash] first 1"
    refute log =~ "first 2"
    assert log =~ "[DurableStash] second"
  end

  test "of many processes one logs" do
    cause = make_ref()

    log =
      capture_log(fn ->
        1..50
        |> Enum.map(fn _n -> Task.async(fn -> Log.once_a_minute(cause, :error, "herd") end) end)
        |> Task.await_many()
      end)

    assert length(String.split(log, "herd")) == 2
  end
end
