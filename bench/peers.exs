defmodule Bench.Peers do
  @moduledoc """
  LiveStash's own adapters, where the real LiveStash is, and what they need.
  """

  @modules [LiveStash.Adapters.ETS, LiveStash.Adapters.Redis]

  @doc "Each adapter with its name, and `:ok` or why it is left out. Starts what those that are there need."
  def start do
    for module <- @modules do
      {module, inspect(module), ready(module)}
    end
  end

  defp ready(module) do
    with :ok <- if(Code.ensure_loaded?(module), do: :ok, else: "needs the real packages"),
         :ok <- store(module) do
      # As LiveStash's own application does with the adapters that are configured when it starts.
      {:ok, _pid} = Supervisor.start_link([module.child_spec([])], strategy: :one_for_one)
      answers(module)
    end
  end

  # Redis as it keeps what it has acknowledged: an append-only file, synced at every write.
  defp store(LiveStash.Adapters.Redis) do
    program = System.find_executable("redis-server")

    cond do
      not Code.ensure_loaded?(Redix) -> "needs the package Redix"
      program == nil -> "needs redis-server on the PATH"
      true -> start_redis(program)
    end
  end

  defp store(_module), do: :ok

  defp start_redis(program) do
    folder = Path.join(System.tmp_dir!(), "durable_stash_bench_#{System.unique_integer([:positive])}_#{System.pid()}")
    File.mkdir_p!(folder)
    port = free_port()

    arguments =
      ~w(--port #{port} --bind 127.0.0.1 --dir #{folder} --appendonly yes --appendfsync always --save) ++ [""]

    # The shell ends Redis when this VM is gone: its standard input closes then.
    script = ~S("$@" >/dev/null & pid=$!; cat >/dev/null; kill $pid; wait $pid; rm -rf "$0")
    Port.open({:spawn_executable, "/bin/sh"}, [:binary, args: ["-c", script, folder, program | arguments]])
    Application.put_env(:live_stash, :redis, host: "127.0.0.1", port: port)
    wait_for(port, 100)
  end

  defp free_port do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :ok = :gen_tcp.close(socket)
    port
  end

  defp wait_for(_port, 0), do: "redis-server did not start"

  defp wait_for(port, left) do
    case :gen_tcp.connect({127, 0, 0, 1}, port, []) do
      {:ok, socket} ->
        :gen_tcp.close(socket)

      {:error, _reason} ->
        Process.sleep(50)
        wait_for(port, left - 1)
    end
  end

  # Its connection is made on the side.
  defp answers(LiveStash.Adapters.Redis) do
    connected? = fn -> match?({:ok, "PONG"}, apply(Redix, :command, [LiveStash.Adapters.Redis.Conn, ["PING"]])) end

    if Enum.any?(1..50, fn _try -> connected?.() or Process.sleep(50) != :ok end),
      do: :ok,
      else: "Redis does not answer"
  end

  defp answers(_module), do: :ok
end
