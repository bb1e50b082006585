defmodule DurableStash.MigrationTest do
  use ExUnit.Case, async: true

  alias DurableStash.Error
  alias DurableStash.Migration

  test "gets the old vsn and the stored map" do
    migrate = fn from, stored -> Map.put(stored, "from", from) end
    assert Migration.run(migrate, 3, %{"a" => 1}, 5_000) == {:ok, %{"a" => 1, "from" => 3}}
  end

  test "finds its caller as a task does" do
    test = self()

    assert {:ok, %{callers: [^test | _rest]}} =
             Migration.run(fn _, _ -> %{callers: Process.get(:"$callers")} end, 1, %{}, 5_000)
  end

  for {case, migrate, message} <- [
        {"that raises", quote(do: fn _, _ -> raise "the value is hunter" end), ~r/raised RuntimeError in anonymous fn/},
        {"that throws", quote(do: fn _, _ -> throw(:the_value_is_hunter) end), ~r/ended with throw/},
        {"that exits", quote(do: fn _, _ -> exit(:the_value_is_hunter) end), ~r/ended with exit/},
        {"that matches no clause", quote(do: fn 2, _ -> %{} end), ~r/raised FunctionClauseError/},
        {"that returns a list", quote(do: fn _, _ -> [a: "hunter"] end), ~r/did not return a map/},
        {"that returns a struct", quote(do: fn _, _ -> ~D[2026-01-01] end), ~r/did not return a map/},
        {"that returns nil", quote(do: fn _, _ -> nil end), ~r/did not return a map/}
      ] do
    test "fault_40: one #{case} is an error without the stored values" do
      assert {:error, %Error{kind: :invalid_value, message: message}} =
               Migration.run(unquote(migrate), 1, %{"a" => "hunter"}, 5_000)

      assert message =~ unquote(Macro.escape(message))
      assert message =~ "what is stored was left as it is"
      refute message =~ "hunter"
    end
  end

  test "fault_40: one that never ends is killed, and nothing of it arrives later" do
    test = self()

    endless = fn _from, _stored ->
      send(test, {:migrating, self()})
      receive do: (:never -> %{})
    end

    Process.flag(:trap_exit, true)
    assert {:error, %Error{message: message}} = Migration.run(endless, 1, %{}, 20)
    assert message =~ "took longer than 20 ms"

    assert_received {:migrating, pid}
    monitor = Process.monitor(pid)
    assert_receive {:DOWN, ^monitor, :process, ^pid, _reason}
    refute_received _anything
  end

  test "leaves no message in a process that traps exits" do
    Process.flag(:trap_exit, true)
    assert {:ok, %{}} = Migration.run(fn _, _ -> %{} end, 1, %{}, 5_000)
    refute_received _anything
  end

  for {case, migrate} <- [
        {"whose task raises", quote(do: fn _, _ -> Task.await(Task.async(fn -> raise "no" end)) end)},
        {"whose linked process dies",
         quote do
           fn _, _ ->
             spawn_link(fn -> exit(:boom) end)
             receive(do: (:never -> %{}))
           end
         end},
        {"that kills itself", quote(do: fn _, _ -> Process.exit(self(), :kill) end)}
      ],
      trap? <- [false, true] do
    @tag :capture_log
    test "fault_40: one #{case} is no LiveView's end, and no message of it (trap_exit: #{trap?})" do
      Process.flag(:trap_exit, unquote(trap?))
      assert {:error, %Error{message: message}} = Migration.run(unquote(migrate), 1, %{}, 5_000)
      assert message =~ "was killed"
      refute_received _anything
    end
  end

  test "ends with the LiveView that waits for it" do
    test = self()

    lv =
      spawn(fn ->
        endless = fn _from, _stored ->
          send(test, {:migrating, self()})
          receive do: (:never -> %{})
        end

        Migration.run(endless, 1, %{}, 60_000)
      end)

    assert_receive {:migrating, pid}
    monitor = Process.monitor(pid)
    Process.exit(lv, :kill)
    assert_receive {:DOWN, ^monitor, :process, ^pid, :killed}
  end
end
