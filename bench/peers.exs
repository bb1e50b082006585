defmodule Bench.Peers do
  @moduledoc """
  LiveStash's own adapters, where the real LiveStash is, and what they need.
  """

  @modules [LiveStash.Adapters.ETS, LiveStash.Adapters.Redis]

  @doc "Each adapter with its name, and `:ok` or why it is left out. Starts LiveStash anew with those that are there."
  def start do
    peers = for module <- @modules, do: {module, inspect(module), ready(module)}
    present = for {module, _name, :ok} <- peers, do: module
    Application.put_env(:live_stash, :adapters, [DurableStash | present])

    if present != [] do
      :ok = Application.stop(:live_stash)
      {:ok, _started} = Application.ensure_all_started(:live_stash)
      Enum.each(present, &answers!/1)
    end

    peers
  end

  defp ready(module) do
    with :ok <- if(Code.ensure_loaded?(module), do: :ok, else: "needs the real packages"), do: store(module)
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
  defp answers!(LiveStash.Adapters.Redis) do
    connected? = fn -> match?({:ok, "PONG"}, apply(Redix, :command, [LiveStash.Adapters.Redis.Conn, ["PING"]])) end
    true = Enum.any?(1..100, fn _try -> connected?.() or Process.sleep(50) != :ok end)
  end

  defp answers!(_module), do: true
end
