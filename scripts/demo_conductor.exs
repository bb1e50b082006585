# Starts a node of the demo, lets it work, kills it with SIGKILL, starts another on the same directory, and compares what that one
# recovers with what the first was told is saved.

defmodule DurableStash.Demo.Conductor do
  def run([directory, sessions, seconds]) do
    sessions = String.to_integer(sessions)

    IO.puts("A node with #{sessions} browser sessions, #{3 * sessions} LiveViews, on the disk backend.")

    killed = killed_node(directory, sessions, String.to_integer(seconds) * 1_000)
    IO.puts("\nA new node on the same directory.")
    recovered = recovering_node(directory, sessions)
    verdict(judge(killed, recovered), killed, recovered)
  end

  defp killed_node(directory, sessions, milliseconds) do
    node = start("work", directory, sessions)
    :ready = wait_for_ready(node)
    # Somewhere in the last fifth, so that no two runs are killed at the same point.
    milliseconds = milliseconds - :rand.uniform(div(milliseconds, 5))
    Process.send_after(self(), :kill, milliseconds)

    seen =
      listen(node, %{saved: %{}, latencies: [], stashes: 0, puts: 0, at: nil, started: now()})

    %{seen | at: seen.at - seen.started}
  end

  defp recovering_node(directory, sessions) do
    node = start("recover", directory, sessions)
    collect(node, %{})
  end

  defp start(role, directory, sessions) do
    mix = System.find_executable("mix")

    arguments =
      ~w(run --no-compile --no-start scripts/demo_node.exs #{role} #{directory} #{sessions})

    port =
      Port.open({:spawn_executable, mix}, [:binary, :exit_status, line: 1_000, args: arguments])

    {:os_pid, os_pid} = Port.info(port, :os_pid)
    %{port: port, os_pid: os_pid}
  end

  defp wait_for_ready(%{port: port}) do
    receive do
      {^port, {:data, {:eol, "ready"}}} -> :ready
      {^port, {:data, {_eol, line}}} -> IO.puts(:stderr, line) && wait_for_ready(%{port: port})
      {^port, {:exit_status, status}} -> stop("The node did not start (status #{status}).")
    end
  end

  # Until the killed node's last line: what it said before it died counts.
  defp listen(%{port: port} = node, seen) do
    receive do
      :kill ->
        {_output, 0} = System.cmd("kill", ["-9", to_string(node.os_pid)])
        listen(node, %{seen | at: now()})

      {^port, {:data, {:eol, line}}} ->
        listen(node, line |> String.split(" ") |> heard(seen))

      {^port, {:data, {:noeol, _cut_off}}} ->
        listen(node, seen)

      {^port, {:exit_status, 137}} when seen.at != nil ->
        seen

      {^port, {:exit_status, status}} ->
        stop("The node ended by itself, with status #{status}.")
    end
  end

  defp heard(["saved", session, page, number, _stashes, microseconds], seen) do
    saved = Map.put(seen.saved, {session, page}, String.to_integer(number))
    %{seen | saved: saved, latencies: [String.to_integer(microseconds) | seen.latencies]}
  end

  defp heard(["stats", stashes, puts], seen) do
    progress("  #{stashes} stashes, #{puts} PUTs, #{length(seen.latencies)} times told saved")

    %{seen | stashes: String.to_integer(stashes), puts: String.to_integer(puts)}
  end

  defp heard(other, seen) do
    IO.puts(:stderr, Enum.join(other, " "))
    seen
  end

  defp collect(%{port: port} = node, recovered) do
    receive do
      {^port, {:data, {:eol, line}}} ->
        case String.split(line, " ") do
          ["recovered", session, page, status, count, draft] ->
            found = %{
              status: status,
              count: String.to_integer(count),
              draft: String.to_integer(draft)
            }

            collect(node, Map.put(recovered, {session, page}, found))

          _other ->
            IO.puts(:stderr, line)
            collect(node, recovered)
        end

      {^port, {:exit_status, 0}} ->
        recovered

      {^port, {:exit_status, status}} ->
        stop("The new node ended with status #{status}.")
    end
  end

  # Lost: less came back than was told saved. Torn: of the two values of one stash only one did.
  defp judge(killed, recovered) do
    lost =
      for {page, number} <- killed.saved,
          found = Map.get(recovered, page, %{count: 0, draft: 0}),
          found.count < number or found.draft < number,
          do: page

    torn = for {page, %{count: count, draft: draft}} <- recovered, count != draft, do: page
    %{lost: lost, torn: torn}
  end

  defp verdict(judged, killed, recovered) do
    whole = for {{session, _page}, %{status: "recovered"}} <- recovered, uniq: true, do: session
    saved_sessions = for {{session, _page}, _number} <- killed.saved, uniq: true, do: session
    latencies = killed.latencies |> Enum.sort() |> List.to_tuple()

    IO.puts("""

      stashes                    #{killed.stashes}
      PUTs                       #{killed.puts}
      stashes per PUT            #{ratio(killed.stashes, killed.puts)}
      told saved                 #{tuple_size(latencies)}
      stash to saved, p50        #{percentile(latencies, 50)}
      stash to saved, p99        #{percentile(latencies, 99)}
      killed (SIGKILL) after     #{Float.round(killed.at / 1_000, 2)} s
      sessions with saved state  #{length(saved_sessions)}
      recovered sessions         #{length(whole)}
      torn stashes               #{length(judged.torn)}
      saved writes lost          #{length(judged.lost)}
    """)

    cond do
      tuple_size(latencies) == 0 ->
        stop("Nothing was saved before the kill, so nothing is shown. Is DEMO_SECONDS too small?")

      judged.lost != [] ->
        stop("Lost: #{inspect(Enum.take(judged.lost, 5))}")

      judged.torn != [] ->
        stop("Torn: #{inspect(Enum.take(judged.torn, 5))}")

      length(saved_sessions -- whole) > 0 ->
        stop("Not recovered: #{inspect(Enum.take(saved_sessions -- whole, 5))}")

      true ->
        IO.puts("Nothing that was told saved is lost.")
    end
  end

  # One line that moves on a terminal, a line each in a log.
  defp progress(line) do
    if IO.ANSI.enabled?(), do: IO.write(["\r", line, "   "]), else: IO.puts(line)
  end

  defp ratio(_stashes, 0), do: "-"
  defp ratio(stashes, puts), do: Float.round(stashes / puts, 2)

  defp percentile({}, _percent), do: "-"

  defp percentile(sorted, percent) do
    microseconds = elem(sorted, div((tuple_size(sorted) - 1) * percent, 100))
    "#{Float.round(microseconds / 1_000, 2)} ms"
  end

  defp now, do: System.monotonic_time(:millisecond)

  defp stop(why) do
    IO.puts(:stderr, why)
    System.halt(1)
  end
end

DurableStash.Demo.Conductor.run(System.argv())
