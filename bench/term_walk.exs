# What it costs to make JSON of a term: the walk of native/durable_stash_nif against rustler's serde written to
# serde_json (native/durable_stash_bench_nif, whose library BENCH_NIF names), Elixir's JSON, and Jason where it is.
#
#     MIX_ENV=test BENCH_NIF=…/libdurable_stash_bench_nif mix run bench/term_walk.exs [--quick] FIGURES.jsonl

Code.require_file("figures.exs", __DIR__)

defmodule Bench.Transcode do
  def load, do: :erlang.load_nif(String.to_charlist(System.fetch_env!("BENCH_NIF")), 0)
  def encode(_term), do: :erlang.nif_error(:not_loaded)
end

defmodule Bench.TermWalk do
  alias Bench.Figures
  alias DurableStash.Native

  @limit 16 * 1024 * 1024

  def run(figures) do
    Figures.attempt(figures, "the term walk", fn ->
      :ok = Bench.Transcode.load()
      for {name, term} <- terms(), do: term(figures, "the term walk: #{name}", term)
      hop(figures)
    end)
  end

  # The walk and serde are called on dirty schedulers here; a stash walks small values on the LiveView's own.
  defp hop(figures) do
    runs = for _run <- 1..Figures.runs(figures), do: time(&Bench.Transcode.encode/1, nil, 1_000)
    Figures.add(figures, "the term walk", "a call on a dirty scheduler that does nothing", "µs", runs)
  end

  defp term(figures, workload, term) do
    ways = ways()
    # They write the same, but for the order of a map's keys.
    [_one] = ways |> Enum.map(fn {_name, encode} -> JSON.decode!(encode.(term)) end) |> Enum.uniq()
    bytes = byte_size(JSON.encode!(term))
    Figures.add(figures, workload, "bytes of JSON", "", [bytes])

    repetitions = Figures.repetitions(figures, div(20_000_000, bytes + 4_000))
    # By turns within each run, so that all have the same machine.
    runs = for _run <- 1..Figures.runs(figures), do: Map.new(ways, &{elem(&1, 0), time(elem(&1, 1), term, repetitions)})
    for {name, _encode} <- ways, do: Figures.add(figures, workload, name, "µs", Enum.map(runs, & &1[name]))

    for {name, _encode} <- tl(ways) do
      ratios = Enum.map(runs, &(&1["the walk"] / &1[name]))
      Figures.add(figures, workload, "the walk / #{name}", "x", ratios)
    end
  end

  defp ways do
    jason = if Code.ensure_loaded?(Jason), do: [{"Jason", &apply(Jason, :encode!, [&1])}], else: []

    [
      {"the walk", &walk/1},
      {"serde, transcoded", &Bench.Transcode.encode/1},
      {"Elixir's JSON", &JSON.encode!/1}
    ] ++ jason
  end

  defp walk(term) do
    {:ok, text} = Native.json_encode(term, @limit)
    text
  end

  # The median of single calls, in microseconds, in a process whose heap is its own.
  defp time(encode, term, repetitions) do
    Task.async(fn ->
      times =
        for _n <- 1..(repetitions + div(repetitions, 5)) do
          began = System.monotonic_time(:nanosecond)
          encode.(term)
          (System.monotonic_time(:nanosecond) - began) / 1_000
        end

      # What has to grow has grown after the first sixth.
      times |> Enum.drop(div(repetitions, 5)) |> Figures.quantile(0.5)
    end)
    |> Task.await(:infinity)
  end

  defp terms do
    item = fn n ->
      %{"id" => n, "name" => "item #{n}", "price" => n + 0.25, "tags" => ["a", "b"], "sold" => rem(n, 2) == 0}
    end

    [
      {"a small map", %{count: 1, name: "a name", open: true}},
      {"30 keys", Map.new(1..30, &{"key_#{&1}", "value #{&1}"})},
      {"500 items", for(n <- 1..500, do: item.(n))},
      {"10,000 items", for(n <- 1..10_000, do: item.(n))},
      {"1 MB of text", String.duplicate("plain text, ", 87_381)}
    ]
  end
end

System.argv() |> Bench.Figures.open() |> Bench.TermWalk.run()
