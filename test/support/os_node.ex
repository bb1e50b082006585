defmodule DurableStash.OsNode do
  @moduledoc """
  Another OS process that runs DurableStash over a directory, to be killed.

  Only plain terms cross between the two: its LiveViews are known by names.
  """

  alias DurableStash.LiveViewProcess
  alias DurableStash.Page

  @call_timeout 60_000

  @doc "Starts it with this configuration of the default engine, looking for code in `first` first."
  def start(config, first \\ []) do
    paths = Enum.flat_map(first ++ :code.get_path(), &[~c"-pz", &1])

    {:ok, peer, _name} =
      :peer.start(%{connection: :standard_io, args: paths, wait_boot: @call_timeout})

    case call(peer, __MODULE__, :boot, [config]) do
      :ok ->
        peer

      {:error, message} ->
        :peer.stop(peer)
        {:error, message}
    end
  end

  @doc "Mounts a page in it. The LiveView is known by the name."
  def mount(peer, name, page, view), do: call(peer, __MODULE__, :mount_here, [name, page, view])

  @doc "Calls a function of `DurableStash.LiveViewProcess` there."
  def run(peer, function, arguments), do: call(peer, LiveViewProcess, function, arguments)

  @doc "From now on the LiveView stashes a number twice, again and again, one higher each time."
  def storm(peer, name), do: call(peer, __MODULE__, :storm_here, [name])

  @doc "As a deploy stops it: the application stops, and saves what it accepted."
  def stop_application(peer), do: call(peer, Application, :stop, [:durable_stash])

  @doc "SIGKILL. Returns when the process is gone."
  def kill(peer) do
    monitor = Process.monitor(peer)
    os_pid = peer |> call(:os, :getpid, []) |> List.to_string()
    {_output, 0} = System.cmd("kill", ["-KILL", os_pid])

    receive do
      {:DOWN, ^monitor, :process, ^peer, _reason} -> :ok
    end
  end

  defp call(peer, module, function, arguments),
    do: :peer.call(peer, module, function, arguments, @call_timeout)

  # -- In the other process -----------------------------------------------------------------------------------------

  @doc false
  def boot(config) do
    Application.put_env(:live_stash, :adapters, [DurableStash])
    Application.put_all_env(durable_stash: config)

    with {:error, reason} <- Application.ensure_all_started(:durable_stash) do
      running = List.keymember?(Application.started_applications(), :durable_stash, 0)

      {:error, "running: #{running}, #{inspect(reason, limit: :infinity, printable_limit: :infinity)}"}
    else
      {:ok, _started} -> :ok
    end
  end

  @doc false
  def mount_here(name, page, view) do
    {lv, page} = Page.mount(page, view)
    Process.register(lv, name)
    page
  end

  @doc false
  def storm_here(name) do
    spawn(fn ->
      for n <- Stream.iterate(1_000_000, &(&1 + 1)),
          do: LiveViewProcess.stash(name, left: n, right: n)
    end)

    :ok
  end
end
