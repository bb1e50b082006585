defmodule DurableStash.Migration do
  @moduledoc false
  # Runs a view's `migrate` function over what an older version of it stored.
  #
  # It runs in a process of its own, which a deadline can kill: a mount that hangs ends in a full page load, and that in the
  # same migration again. The price, one copy of the stored values there and back, is paid once per session and version.
  # No link leads to the LiveView: what ends the process must not end that, and one that traps exits must get no message.
  # A guard between the two monitors both, and kills the process at the deadline or when the LiveView is gone.

  alias DurableStash.Error

  @type migrate :: (from :: pos_integer(), stored :: map() -> map())

  @doc """
  What `migrate` makes of the stored values. Whatever it does, the caller goes on. It finds the caller in `$callers`, as a
  task does.
  """
  @spec run(migrate(), from :: pos_integer(), stored :: map(), timeout :: pos_integer()) ::
          {:ok, map()} | {:error, Error.t()}
  def run(migrate, from, stored, timeout) do
    caller = self()
    callers = [caller | Process.get(:"$callers", [])]

    worker = fn ->
      Process.put(:"$callers", callers)
      exit({:shutdown, {__MODULE__, attempt(migrate, from, stored)}})
    end

    {guard, monitor} = spawn_monitor(fn -> guard(worker, caller, timeout) end)

    receive do
      {:DOWN, ^monitor, :process, ^guard, {:shutdown, {__MODULE__, result}}} ->
        judge(result, migrate, from)

      {:DOWN, ^monitor, :process, ^guard, _reason} ->
        failed("was killed", migrate, from)
    end
  end

  # Ends as the worker does, and the worker ends with whoever waits for it.
  defp guard(worker, caller, timeout) do
    caller_monitor = Process.monitor(caller)
    {pid, monitor} = spawn_monitor(worker)

    receive do
      {:DOWN, ^monitor, :process, ^pid, reason} ->
        exit(reason)

      {:DOWN, ^caller_monitor, :process, ^caller, _reason} ->
        Process.exit(pid, :kill)
    after
      timeout ->
        Process.exit(pid, :kill)
        exit({:shutdown, {__MODULE__, {:failed, "took longer than #{timeout} ms"}}})
    end
  end

  defp attempt(migrate, from, stored) do
    {:returned, migrate.(from, stored)}
  rescue
    # Nothing of it but its name: messages may hold stored values.
    error -> {:failed, "raised #{inspect(error.__struct__)} in #{place(__STACKTRACE__)}"}
  catch
    kind, _reason -> {:failed, "ended with #{kind} in #{place(__STACKTRACE__)}"}
  end

  defp judge({:returned, %{} = migrated}, _migrate, _from) when not is_struct(migrated),
    do: {:ok, migrated}

  defp judge({:returned, _other}, migrate, from),
    do: failed("did not return a map", migrate, from)

  defp judge({:failed, what}, migrate, from), do: failed(what, migrate, from)

  defp place([{module, function, arguments, location} | _rest]) do
    arity = if is_list(arguments), do: length(arguments), else: arguments
    line = if line = location[:line], do: " at line #{line}", else: ""
    Exception.format_mfa(module, function, arity) <> line
  end

  defp place([]), do: "an unknown place"

  defp failed(what, migrate, from) do
    {:error,
     Error.new(
       :invalid_value,
       "the migration #{inspect(migrate)} from vsn #{from} #{what}; what is stored was left as it is"
     )}
  end
end
