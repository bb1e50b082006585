defmodule DurableStash.Migration do
  @moduledoc false
  # Runs a view's `migrate` function over what an older version of it stored.
  #
  # It runs in a process of its own, which a deadline can kill: a mount that hangs ends in a full page load, and that in the
  # same migration again. The price, one copy of the stored values there and back, is paid once per session and version.
  # The process is linked, so that it dies with the LiveView, and unlinks itself when it is done, so that a LiveView that
  # traps exits gets no message.

  alias DurableStash.Error

  @type migrate :: (from :: pos_integer(), stored :: map() -> map())

  @doc """
  What `migrate` makes of the stored values. Whatever it does, the caller goes on. It finds the caller in `$callers`, as a
  task does.
  """
  @spec run(migrate(), from :: pos_integer(), stored :: map(), timeout :: pos_integer()) ::
          {:ok, map()} | {:error, Error.t()}
  def run(migrate, from, stored, timeout) do
    parent = self()
    callers = [parent | Process.get(:"$callers", [])]

    {pid, monitor} =
      :erlang.spawn_opt(
        fn ->
          Process.put(:"$callers", callers)
          result = attempt(migrate, from, stored)
          Process.unlink(parent)
          exit({:shutdown, {__MODULE__, result}})
        end,
        [:link, :monitor]
      )

    receive do
      {:DOWN, ^monitor, :process, ^pid, {:shutdown, {__MODULE__, result}}} ->
        judge(result, migrate, from)

      {:DOWN, ^monitor, :process, ^pid, _reason} ->
        failed("was killed", migrate, from)
    after
      timeout ->
        kill(pid, monitor)
        failed("took longer than #{timeout} ms", migrate, from)
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

  defp kill(pid, monitor) do
    Process.unlink(pid)
    Process.exit(pid, :kill)
    Process.demonitor(monitor, [:flush])

    receive do
      {:EXIT, ^pid, _reason} -> :ok
    after
      0 -> :ok
    end
  end

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
