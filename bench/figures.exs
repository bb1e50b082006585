defmodule Bench.Figures do
  @moduledoc """
  Rows of the table, as native/durable_stash_bench reads them: a line of JSON each, appended to a file.
  """

  defstruct [:file, :quick]

  @doc "Of the arguments `[--quick] FIGURES.jsonl`."
  def open(arguments) do
    {options, [path]} = OptionParser.parse!(arguments, strict: [quick: :boolean])
    %__MODULE__{file: File.open!(path, [:append]), quick: Keyword.get(options, :quick, false)}
  end

  @doc "How often each figure is taken."
  def runs(%__MODULE__{quick: quick}), do: if(quick, do: 2, else: 5)

  @doc "A number of repetitions, or a few of them."
  def repetitions(%__MODULE__{quick: quick}, full), do: if(quick, do: max(div(full, 20), 3), else: full)

  @doc """
  A figure: one value a run.

    * `:at_most`: what the median is to keep to;
    * `:curve`: `{plot, label, [{x, y}]}`, a line in one of the page's plots.
  """
  def add(%__MODULE__{} = figures, workload, what, unit, runs, options \\ []) do
    row = %{workload: workload, what: what, unit: unit, runs: Enum.map(runs, &(&1 * 1.0))}
    row = if bound = options[:at_most], do: Map.put(row, :target, %{at_most: bound * 1.0}), else: row

    row =
      with {plot, label, points} <- options[:curve] do
        points = for {x, y} <- points, do: [x * 1.0, y * 1.0]
        Map.put(row, :curve, %{plot: plot, label: label, points: points})
      else
        nil -> row
      end

    say("#{workload}, #{what}: #{Float.round(quantile(row.runs, 0.5), 3)} #{unit}")
    write(figures, row)
  end

  @doc "A figure that is not taken, and why."
  def left_out(%__MODULE__{} = figures, workload, what, why) do
    say("#{workload}, #{what}: left out: #{why}")
    write(figures, %{workload: workload, what: what, absent: %{left_out: why}})
  end

  @doc "Runs `fun`. If it breaks, that is a row, and what comes after it is measured all the same."
  def attempt(%__MODULE__{} = figures, workload, fun) do
    fun.()
  catch
    kind, reason ->
      broken = kind |> Exception.format_banner(reason, __STACKTRACE__) |> String.slice(0, 300) |> one_line()
      say("#{workload}: broke: #{Exception.format(kind, reason, __STACKTRACE__)}")
      write(figures, %{workload: workload, what: "the workload", absent: %{broke: broken}})
  end

  @doc "The nearest-rank quantile."
  def quantile(values, q) do
    values |> Enum.sort() |> Enum.at(max(ceil(q * length(values)) - 1, 0))
  end

  @doc "A latency's curve: value over share."
  def distribution(values) do
    sorted = values |> Enum.sort() |> List.to_tuple()
    for percent <- 1..99, do: {percent / 100, elem(sorted, max(ceil(percent / 100 * tuple_size(sorted)) - 1, 0))}
  end

  @doc "The exponent `e` of `y = c * x^e` that fits the points best: 0 is flat, 1 linear (as fit.rs)."
  def exponent(points) do
    logs = for {x, y} <- points, do: {:math.log(x), :math.log(y)}
    {mean_x, mean_y} = {mean(for {x, _} <- logs, do: x), mean(for {_, y} <- logs, do: y)}
    covariance = Enum.sum(for {x, y} <- logs, do: (x - mean_x) * (y - mean_y))
    covariance / Enum.sum(for {x, _} <- logs, do: (x - mean_x) ** 2)
  end

  defp mean(values), do: Enum.sum(values) / length(values)
  defp one_line(text), do: String.replace(text, ~r/\s+/, " ")
  defp say(text), do: IO.puts(:stderr, "  " <> text)
  defp write(%__MODULE__{file: file}, row), do: IO.binwrite(file, JSON.encode!(row) <> "\n")
end
