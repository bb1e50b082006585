defmodule StashDemo.Server do
  @moduledoc """
  The server as an operating system process: who it is, and how it ends.
  """

  @doc "Its process id."
  @spec os_pid() :: String.t()
  def os_pid, do: List.to_string(:os.getpid())

  @doc "Whether something starts the server again when it has ended. Only then may a visitor end it."
  @spec supervised?() :: boolean()
  def supervised?, do: next_version_file() != nil

  @doc "SIGKILL: nothing is cleaned up, and nothing more is saved."
  @spec kill() :: :ok
  def kill do
    true = supervised?()
    signal("KILL")
  end

  @doc "What a deploy does: SIGTERM, and then the next server starts, in this version of the page."
  @spec deploy(pos_integer()) :: :ok
  def deploy(version) do
    File.write!(next_version_file(), Integer.to_string(version))
    signal("TERM")
  end

  # Not by the LiveView that asks for it: one that is busy when the server shuts down has its page loaded anew.
  defp signal(name) do
    {:ok, _pid} = Task.start(fn -> System.cmd("kill", ["-" <> name, os_pid()]) end)
    :ok
  end

  defp next_version_file, do: Application.get_env(:stash_demo, :next_version_file)
end
