defmodule DurableStash.Kills.Node do
  @moduledoc """
  What runs in a node that is to be killed: the application over the round's store, and clients that use many pages.

  Standard input is its lease: the line `finish` ends its work in order, and the input's end ends the node at once, so
  that none outlives whoever started it. On standard output it says `ready`, and what it logs.
  """

  alias DurableStash.Kills.Client

  @doc """
  Called by `erl -s`. The plain argument is a map, as an external term in base 64:

    * `:name`: of this run of the node, which no other has;
    * `:config`: of the default engine;
    * `:journal`: the file that its clients write;
    * `:pages`: what they use, see `DurableStash.Kills.Client.run/4`;
    * `:seed`: what they throw their dice with;
    * `:role`: `:work`, or `:look` to read each page once and end.
  """
  def boot do
    [argument, _directory] = :init.get_plain_arguments()
    node = argument |> List.to_string() |> Base.decode64!() |> :erlang.binary_to_term()
    spawn(fn -> guard(node) end)
  end

  # Ends the node when its work is done, or broken.
  defp guard(node) do
    {main, monitor} = spawn_monitor(fn -> run(node) end)
    spawn(fn -> obey(main) end)

    receive do
      {:DOWN, ^monitor, :process, ^main, :normal} -> System.halt(0)
      {:DOWN, ^monitor, :process, ^main, reason} -> broken(reason)
    end
  end

  # At a shutdown everything is killed, which is nothing wrong.
  defp broken(reason) do
    if :init.get_status() |> elem(0) == :stopping, do: Process.sleep(:infinity)
    IO.puts("broken: #{Exception.format_exit(reason)}")
    System.halt(1)
  end

  defp obey(main) do
    case IO.read(:stdio, :line) do
      "finish\n" ->
        send(main, :finish)
        obey(main)

      :eof ->
        System.halt(1)

      # The shutdown has come to the input itself.
      {:error, _reason} ->
        :ok
    end
  end

  defp run(%{role: :work} = node) do
    start(node)

    clients =
      for {page, index} <- Enum.with_index(node.pages) do
        pid = spawn_link(fn -> Client.run(node, index, page, {node.seed, index, 1}) end)
        {pid, Process.monitor(pid)}
      end

    await_ready()
    IO.puts("ready")
    receive do: (:finish -> :ok)
    for {pid, _monitor} <- clients, do: send(pid, :finish)
    for {pid, monitor} <- clients, do: receive(do: ({:DOWN, ^monitor, :process, ^pid, :normal} -> :ok))
    :ok = Application.stop(:durable_stash)
  end

  defp run(%{role: :look} = node) do
    start(node)
    IO.puts("ready")
    for {page, index} <- Enum.with_index(node.pages), do: Client.look(node, index, page)
    :ok = Application.stop(:durable_stash)
  end

  # The probe of the store is over, and writes go through.
  defp await_ready do
    if DurableStash.Engine.health() != {:ok, {:ready, nil}} do
      Process.sleep(5)
      await_ready()
    end
  end

  defp start(node) do
    Application.put_env(:live_stash, :adapters, [DurableStash])
    Application.put_all_env(durable_stash: node.config)
    {:ok, _started} = Application.ensure_all_started(:durable_stash)
    Client.note_stale_answers()
  end
end
