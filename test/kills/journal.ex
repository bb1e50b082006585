defmodule DurableStash.Kills.Journal do
  @moduledoc """
  What clients did and were told, a line of JSON each, as `native/durable_stash_history` reads it.

  A line is one write to a file that is opened for appending, by the process that opened it: SIGKILL loses at most what was
  not begun. Many processes may have the same file open.
  """

  @enforce_keys [:file]
  defstruct [:file]

  @doc "Opens a file for this process."
  def open(path) do
    {:ok, file} = :file.open(path, [:append, :raw, :binary])
    %__MODULE__{file: file}
  end

  @doc "Microseconds since the epoch, of one clock for all processes of this machine."
  def now, do: System.os_time(:microsecond)

  @doc "Writes one event that happens now, or has just happened."
  def write(journal, event, fields), do: put(journal, [{:t, now()} | fields], event)

  @doc "Writes one event that has no time."
  def put(%__MODULE__{file: file}, fields, event) do
    :ok = :file.write(file, [JSON.encode_to_iodata!(Map.new([{:e, event} | fields])), ?\n])
  end
end
