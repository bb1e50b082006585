# What a stash costs the LiveView that makes it. Appends a row a figure to the file that is its argument, as
# native/durable_stash_bench does.
#
#     MIX_ENV=test mix run bench/live_view.exs [--quick] FIGURES.jsonl
#
# LiveStash's own adapters are measured beside ours where the real LiveStash is.

Code.require_file("figures.exs", __DIR__)
Code.require_file("peers.exs", __DIR__)

defmodule Bench.LiveView do
  alias Bench.Figures
  alias DurableStash.Engine
  alias DurableStash.LiveViewProcess
  alias DurableStash.Page
  alias DurableStash.TestBackend
  alias Phoenix.Component

  @secret String.duplicate("bench", 8)
  @mebibyte 1024 * 1024

  def run(figures) do
    side_by_side(figures, DurableStash, "DurableStash")
    Figures.attempt(figures, "LiveStash's own adapters", fn -> peers(figures) end)
    slow_store(figures)
    growth(figures)
  end

  defp peers(figures) do
    for {module, name, ready} <- Bench.Peers.start() do
      if ready == :ok,
        do: side_by_side(figures, module, name),
        else: Figures.left_out(figures, workload(name), "all of it", ready)
    end
  end

  # -- The same of every adapter ----------------------------------------------------------------------------------

  defp side_by_side(figures, adapter, label) do
    cases = [&small/3, &neighbour/3, &unchanged/3, &large/3]
    for a_case <- cases, do: Figures.attempt(figures, workload(label), fn -> a_case.(figures, adapter, label) end)
  end

  defp small(figures, adapter, label) do
    runs = measure(figures, adapter, %{count: 0}, 4_000, &%{count: &1})
    curve = {:stash, "#{label}, a small change", Figures.distribution(List.last(runs))}
    add(figures, label, "one small key changed, p50", "µs", quantiles(runs, 0.5), at_most: 6, curve: curve)
    add(figures, label, "one small key changed, p99", "µs", quantiles(runs, 0.99), at_most: 40)
  end

  defp neighbour(figures, adapter, label) do
    runs = measure(figures, adapter, %{count: 0, big: big(1)}, 1_000, &%{count: &1})
    curve = {:stash, "#{label}, beside 1 MB", Figures.distribution(List.last(runs))}
    what = "the same beside an unchanged 1 MB assign, p50"
    add(figures, label, what, "µs", quantiles(runs, 0.5), at_most: 7, curve: curve)
  end

  defp unchanged(figures, adapter, label) do
    twenty = Map.merge(%{big: big(1)}, Map.new(1..19, &{:"key_#{&1}", &1}))
    runs = measure(figures, adapter, twenty, 2_000, fn _n -> %{} end)
    add(figures, label, "nothing changed, 1 MB and 20 keys, p50", "µs", quantiles(runs, 0.5), at_most: 2)
  end

  defp large(figures, adapter, label) do
    {long, one} = long_schedules(fn -> measure(figures, adapter, %{big: big(1)}, 20, &%{big: [&1 | big(1)]}) end)
    {longer, ten} = long_schedules(fn -> measure(figures, adapter, %{big: big(10)}, 4, &%{big: [&1 | big(10)]}) end)
    milliseconds = fn runs -> Enum.map(quantiles(runs, 0.5), &(&1 / 1_000)) end
    add(figures, label, "a changed 1 MB value: LiveView held, p50", "ms", milliseconds.(one), at_most: 4)
    add(figures, label, "a changed 10 MB value: LiveView held, p50", "ms", milliseconds.(ten), at_most: 40)
    what = "schedulers held over 1 ms by 1 MB and 10 MB values"
    add(figures, label, what, "times", [long + longer], at_most: 0)
  end

  # Only our own rows have targets.
  defp add(figures, label, what, unit, runs, options) do
    options = if label == "DurableStash", do: options, else: Keyword.delete(options, :at_most)
    Figures.add(figures, workload(label), what, unit, runs, options)
  end

  defp workload(label), do: "stash/1 in the LiveView: #{label}"

  # -- Ours alone -------------------------------------------------------------------------------------------------

  # The LiveView does not wait for the store, however long that takes and however often it stashes.
  defp slow_store(figures) do
    for latency <- [20, 200] do
      name = "burst of 1,000 stashes in the LiveView, PUT of #{latency} ms"

      Figures.attempt(figures, name, fn ->
        runs = measure(figures, DurableStash, %{count: 0}, 1_000, &%{count: &1}, latency)
        Figures.add(figures, name, "p50", "µs", quantiles(runs, 0.5))
        Figures.add(figures, name, "the longest", "µs", quantiles(runs, 1.0), at_most: 1_000)
      end)
    end
  end

  defp growth(figures) do
    curve(figures, "keys, one changed", :keys, [1, 10, 100, 1_000], fn keys ->
      measure(figures, DurableStash, Map.new(1..keys, &{:"key_#{&1}", 0}), 400, &%{key_1: &1})
    end)

    curve(figures, "the bytes of the changed value", :bytes, [100, 1_000, 10_000, 100_000, 1_000_000], fn bytes ->
      text = String.duplicate("x", bytes - 10)
      measure(figures, DurableStash, %{text: ""}, 100, &%{text: "#{&1} #{text}"})
    end)
  end

  defp curve(figures, over, plot, sizes, measured) do
    name = "growth in the LiveView with #{over}"

    Figures.attempt(figures, name, fn ->
      medians = for size <- sizes, do: {size, quantiles(measured.(size), 0.5)}
      for {size, runs} <- medians, do: Figures.add(figures, name, "stash/1, #{size}", "µs", runs)
      points = fn pick -> for {size, runs} <- medians, do: {size, pick.(runs)} end
      fits = for run <- 0..(Figures.runs(figures) - 1), do: points.(&Enum.at(&1, run))
      curve = {plot, "in the LiveView", points.(&Figures.quantile(&1, 0.5))}
      what = "stash/1: exponent fitted, linear if within"
      Figures.add(figures, name, what, "", Enum.map(fits, &Figures.exponent/1), at_most: 1.1, curve: curve)
      last = Enum.map(fits, &Figures.exponent(Enum.take(&1, -2)))
      Figures.add(figures, name, "stash/1: exponent of the last step, linear if within", "", last, at_most: 1.25)
    end)
  end

  # -- One run ----------------------------------------------------------------------------------------------------

  # Runs of the microseconds that a stash took in the LiveView's process, after `change.(n)` was assigned.
  defp measure(figures, adapter, assigns, stashes, change, latency \\ 0) do
    stashes = Figures.repetitions(figures, stashes)

    for run <- 1..Figures.runs(figures) do
      name = :"bench #{inspect(adapter)} #{run} #{System.unique_integer([:positive])}"
      engine = if adapter == DurableStash, do: start_engine(name, latency)
      stash = [adapter: adapter, stored_keys: Map.keys(assigns)]
      stash = if engine, do: [{:engine, name} | stash], else: stash
      view = [stash: stash, view: DurableStash.BenchLive, assigns: Map.to_list(assigns)]
      {lv, _page} = Page.mount(Page.open(Page.session()), view)

      times =
        LiveViewProcess.run(lv, fn socket ->
          # What has to grow has grown after the first tenth.
          {times, socket} = stashes(socket, div(stashes, 10) + stashes, change, [])
          {Enum.take(times, stashes), socket}
        end)

      if engine, do: all_saved(lv, name)
      LiveViewProcess.close(lv)
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

  # A stash that was refused costs little, and is worth nothing.
  defp all_saved(lv, engine) do
    :ok = LiveViewProcess.flush(lv, 60_000)
    {:ok, %{failed_ops: 0, unknown_ops: 0, overloaded: 0}} = Engine.stats(engine)
    pid = Process.whereis(engine)
    Process.unlink(pid)
    GenServer.stop(pid)
  end

  defp start_engine(name, latency) do
    {:ok, pid} =
      Engine.start_link(
        name: name,
        secret: @secret,
        backend: {TestBackend, name: name, latency: latency},
        max_value_bytes: 16 * @mebibyte,
        max_document_bytes: 32 * @mebibyte,
        max_unsaved_bytes: 1024 * @mebibyte
      )

    pid
  end

  # How often a scheduler was held for over a millisecond, by anything but this script. Says by whom.
  defp long_schedules(fun) do
    {counter, script} = {:counters.new(1, []), self()}
    monitor = spawn_link(fn -> count(counter, script) end)
    previous = :erlang.system_monitor(monitor, long_schedule: 1)
    result = fun.()
    :erlang.system_monitor(previous)
    Process.unlink(monitor)
    Process.exit(monitor, :kill)
    {:counters.get(counter, 1), result}
  end

  defp count(counter, script) do
    receive do
      {:monitor, ^script, :long_schedule, _how} ->
        :ok

      {:monitor, subject, :long_schedule, how} ->
        :counters.add(counter, 1, 1)
        dictionary = if is_pid(subject), do: Process.info(subject, [:initial_call, :dictionary])
        initial_call = get_in(dictionary, [:dictionary, :"$initial_call"]) || dictionary[:initial_call]
        IO.puts(:stderr, "  held: #{inspect(subject)} #{inspect(initial_call)} #{inspect(how)}")
    end

    count(counter, script)
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

  defp quantiles(runs, q), do: Enum.map(runs, &Figures.quantile(&1, q))
end

# LiveStash reads the list at each mount.
Application.put_env(:live_stash, :adapters, [DurableStash])
Logger.configure(level: :error)
System.argv() |> Bench.Figures.open() |> Bench.LiveView.run()
