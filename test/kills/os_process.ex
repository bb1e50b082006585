defmodule DurableStash.Kills.OsProcess do
  @moduledoc """
  An OS process that belongs to the process that started it: it ends when its standard input does. What it says is kept
  in a file.

  Its pid goes into a list, so that `scripts/kill-run` can see to it that nothing is left, whatever happens here.
  """

  @enforce_keys [:port, :pid, :name, :log]
  defstruct [:port, :pid, :name, :log]

  @doc "Starts a program. `directory` holds its log, named after it, and the list of pids."
  def start(name, program, arguments, directory) do
    log = Path.join(directory, "#{name}.log")

    port =
      Port.open(
        {:spawn_executable, program},
        [
          :binary,
          :exit_status,
          :stderr_to_stdout,
          line: 10_000,
          args: arguments,
          env: [{~c"ERL_CRASH_DUMP_SECONDS", ~c"0"}]
        ]
      )

    case Port.info(port, :os_pid) do
      {:os_pid, pid} ->
        File.write!(Path.join(directory, "pids"), "#{pid}\n", [:append])
        %__MODULE__{port: port, pid: pid, name: name, log: log}

      nil ->
        raise "#{name} did not start"
    end
  end

  @doc "Waits for a line that begins so, and returns its rest."
  def await_line(%{port: port} = process, prefix, timeout) do
    receive do
      {^port, {:data, {_end, line}}} ->
        log(process, line)

        if String.starts_with?(line, prefix),
          do: String.replace_prefix(line, prefix, ""),
          else: await_line(process, prefix, timeout)

      {^port, {:exit_status, status}} ->
        ended_by_itself(process, status)
    after
      timeout -> raise "#{process.name} did not say #{inspect(prefix)} within #{timeout} ms; see #{process.log}"
    end
  end

  @doc "Lets it run for so many ms. It must not end."
  def let_run(process, ms) do
    case await_exit_until(process, now() + ms) do
      :running -> :ok
      status -> ended_by_itself(process, status)
    end
  end

  @doc "Waits until it has ended, and returns its status; `:running` if it does not within so many ms."
  def await_exit(process, ms), do: await_exit_until(process, now() + ms)

  @doc "Sends it a signal, by its pid. It may be gone already; as long as its end was not awaited the pid is its own."
  def signal(%{pid: pid}, signal) do
    {_output, _status} = System.cmd("sh", ["-c", "kill -s #{signal} #{pid} 2>&1"])
    :ok
  end

  @doc """
  Stops it for so many ms. Another process sees to it that it goes on, even if there is nobody any more who could tell it to.
  """
  def freeze(%{pid: pid}, ms) do
    pause = "trap '' INT TERM HUP; kill -s STOP #{pid} || exit 1; sleep #{ms / 1_000}; kill -s CONT #{pid}"
    {_output, 0} = System.cmd("sh", ["-c", pause])
  end

  @doc "Writes a line to its standard input."
  def tell(%{port: port}, line), do: Port.command(port, [line, ?\n])

  defp await_exit_until(%{port: port} = process, deadline) do
    receive do
      {^port, {:data, {_end, line}}} ->
        log(process, line)
        await_exit_until(process, deadline)

      {^port, {:exit_status, status}} ->
        status
    after
      max(deadline - now(), 0) -> :running
    end
  end

  defp log(process, line), do: File.write!(process.log, [line, ?\n], [:append])

  defp ended_by_itself(process, status),
    do: raise("#{process.name} ended by itself, with status #{status}; see #{process.log}")

  defp now, do: System.monotonic_time(:millisecond)
end
