# What a stash costs the LiveView that makes it. Appends a row a figure to the file that is its argument, as
# native/durable_stash_bench does.
#
#     MIX_ENV=test mix run bench/live_view.exs FIGURES.jsonl
#
# LiveStash's own adapters are measured beside ours where the real LiveStash is.

defmodule Bench do
  alias DurableStash.Engine
  alias DurableStash.LiveViewProcess
  alias DurableStash.Page
  alias Phoenix.Component

  @runs 5
  @secret String.duplicate("bench", 8)
  @mebibyte 1024 * 1024

  def run(file) do
    figures = File.open!(file, [:append])

    for {adapter, label} <- adapters() do
      case_rows(adapter, label)
      |> Enum.each(fn row ->
        IO.puts(:stderr, "  #{row.workload}, #{row.what}: #{Float.round(median(row.runs), 3)} #{row.unit}")
        IO.write(figures, JSON.encode!(row) <> "\n")
      end)
    end

    File.close(figures)
  end

  defp adapters do
    peers = for module <- [LiveStash.Adapters.ETS], Code.ensure_loaded?(module), do: {module, inspect(module)}
    [{DurableStash, "DurableStash"} | peers]
  end

  defp case_rows(adapter, label) do
    small = measure(adapter, %{count: 0}, 4_000, &%{count: &1})
    neighbour = measure(adapter, Map.put(%{count: 0}, :big, big(1)), 1_000, &%{count: &1})
    twenty = Map.merge(%{big: big(1)}, Map.new(1..19, &{:"key_#{&1}", &1}))
    unchanged = measure(adapter, twenty, 2_000, fn _n -> %{} end)
    {long, one} = long_schedules(fn -> measure(adapter, %{big: big(1)}, 20, &%{big: [&1 | big(1)]}) end)
    {longer, ten} = long_schedules(fn -> measure(adapter, %{big: big(10)}, 4, &%{big: [&1 | big(10)]}) end)

    [
      row(label, "one small key changed, p50", "µs", quantiles(small, 0.5), 6),
      row(label, "one small key changed, p99", "µs", quantiles(small, 0.99), 40),
      row(label, "the same beside an unchanged 1 MB assign, p50", "µs", quantiles(neighbour, 0.5), 7),
      row(label, "nothing changed, 1 MB and 20 keys, p50", "µs", quantiles(unchanged, 0.5), 2),
      row(label, "a changed 1 MB value: LiveView held, p50", "ms", Enum.map(quantiles(one, 0.5), &(&1 / 1_000)), 4),
      row(label, "a changed 10 MB value: LiveView held, p50", "ms", Enum.map(quantiles(ten, 0.5), &(&1 / 1_000)), 40),
      row(label, "schedulers held over 1 ms by 1 MB and 10 MB values", "times", [(long + longer) * 1.0], 0)
    ]
  end

  # Only our own rows have targets.
  defp row(label, what, unit, runs, bound) do
    row = %{workload: "stash/1 in the LiveView: #{label}", what: what, unit: unit, runs: runs}
    if label == "DurableStash", do: Map.put(row, :target, %{at_most: bound}), else: row
  end

  # Runs of microseconds that a stash took in the LiveView's process, after `change.(n)` was assigned.
  defp measure(adapter, assigns, stashes, change) do
    for run <- 1..@runs do
      engine = :"bench #{inspect(adapter)} #{run} #{System.unique_integer([:positive])}"
      {engine_pid, stash} = stash_options(adapter, engine, Map.keys(assigns))

      {lv, _page} =
        Page.mount(Page.open(Page.session()), stash: stash, view: DurableStash.BenchLive, assigns: Map.to_list(assigns))

      times =
        LiveViewProcess.run(lv, fn socket ->
          # What has to grow has grown after the first tenth.
          {times, socket} = stashes(socket, div(stashes, 10) + stashes, change, [])
          {Enum.take(times, stashes), socket}
        end)

      LiveViewProcess.close(lv)
      if engine_pid, do: stop(engine_pid)
      times
    end
  end

  defp stashes(socket, 0, _change, times), do: {times, socket}

  defp stashes(socket, left, change, times) do
    changes = change.(left)
    socket = if changes == %{}, do: socket, else: Component.assign(socket, changes)
    began = System.monotonic_time(:nanosecond)
    socket = LiveStash.stash(socket)
    took = (System.monotonic_time(:nanosecond) - began) / 1_000
    stashes(socket, left - 1, change, [took | times])
  end

  defp stash_options(DurableStash, engine, keys) do
    {:ok, pid} =
      Engine.start_link(
        name: engine,
        secret: @secret,
        backend: {DurableStash.TestBackend, name: engine},
        max_value_bytes: 16 * @mebibyte,
        max_document_bytes: 32 * @mebibyte,
        max_unsaved_bytes: 1024 * @mebibyte
      )

    {pid, [adapter: DurableStash, engine: engine, stored_keys: keys]}
  end

  defp stash_options(adapter, _engine, keys), do: {nil, [adapter: adapter, stored_keys: keys]}

  defp stop(pid) do
    Process.unlink(pid)
    GenServer.stop(pid)
  end

  # How often a scheduler was held by one process for over a millisecond.
  defp long_schedules(fun) do
    counter = :counters.new(1, [])
    monitor = spawn_link(fn -> count(counter) end)
    previous = :erlang.system_monitor(monitor, long_schedule: 1)
    result = fun.()
    :erlang.system_monitor(previous)
    Process.unlink(monitor)
    Process.exit(monitor, :kill)
    {:counters.get(counter, 1), result}
  end

  defp count(counter) do
    receive do
      {:monitor, _subject, :long_schedule, _what} -> :counters.add(counter, 1, 1)
    end

    count(counter)
  end

  # A list of small maps of about so many megabytes of JSON.
  defp big(mebibytes) do
    key = {:big, mebibytes}

    with nil <- :persistent_term.get(key, nil) do
      :persistent_term.put(
        key,
        for(n <- 1..(mebibytes * 10_000), do: %{"id" => n, "name" => String.duplicate("n", 80)})
      )

      :persistent_term.get(key)
    end
  end

  defp quantiles(runs, q), do: Enum.map(runs, &quantile(Enum.sort(&1), q))
  defp quantile(sorted, q), do: Enum.at(sorted, max(ceil(q * length(sorted)) - 1, 0))
  defp median(values), do: values |> Enum.sort() |> quantile(0.5)
end

# LiveStash reads the list at each mount.
Application.put_env(:live_stash, :adapters, [DurableStash, LiveStash.Adapters.ETS])
[file] = System.argv()
Bench.run(file)
