defmodule DurableStash.ApplicationTest do
  # Changes the application's environment.
  use DurableStash.Case, async: false

  @moduletag engine: false

  setup do
    before = Application.get_all_env(:durable_stash)

    on_exit(fn ->
      for {key, _value} <- Application.get_all_env(:durable_stash),
          do: Application.delete_env(:durable_stash, key)

      Application.put_all_env(durable_stash: before)
    end)
  end

  test "starts the default engine from the configuration" do
    assert {:ok, {:ready, nil}} = Engine.health()
    assert Process.whereis(DurableStash.Engine) in Enum.map(children(), &elem(&1, 1))
  end

  test "fault_73: a bad configuration raises at start, before anything is started" do
    children = children()

    for {option, value, message} <- [
          {:secret, "short", ~r/:secret takes a binary of at least 32 bytes/},
          {:ttl, "30 days", ~r/:ttl takes a positive number of milliseconds, got: "30 days"/},
          {:backend, :redis, ~r/:backend takes/},
          {:no_such_option, 1, ~r/unknown option :no_such_option/}
        ] do
      before = Application.get_all_env(:durable_stash)
      Application.put_env(:durable_stash, option, value)
      assert_raise ArgumentError, message, fn -> DurableStash.Application.start(:normal, []) end
      Application.delete_env(:durable_stash, option)
      Application.put_all_env(durable_stash: before)
    end

    assert children() == children
  end

  test "is no child of LiveStash's, which starts too early and stops too late" do
    Code.ensure_loaded!(DurableStash)
    refute function_exported?(DurableStash, :child_spec, 1)
  end

  defp children, do: Supervisor.which_children(DurableStash.Supervisor)
end
