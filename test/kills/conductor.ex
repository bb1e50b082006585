defmodule DurableStash.Kills.Conductor do
  @moduledoc """
  Rounds of kills until there were as many as asked for, the verdict on each, and the figures of all in one line.

  Called by `scripts/kill-run`, which says what the arguments mean.
  """

  alias DurableStash.Kills.Round

  # In one round: its history is judged whole.
  @kills_per_round 10

  # What the line tells, of the signals sent and of what the checker counts.
  @figures ~w(kills freezes terms writes saved failed lost unknown_applied unknown_not_applied reads recovered versions)

  def main(arguments) do
    options = options!(arguments)
    started = System.monotonic_time(:millisecond)
    File.mkdir_p!(options.directory)
    IO.puts("Seed #{options.seed}.")

    figures =
      options
      |> rounds()
      |> Enum.map(&judged(&1, options))
      |> Enum.reduce(&Map.merge(&1, &2, fn _name, one, other -> one + other end))

    seconds = div(System.monotonic_time(:millisecond) - started, 1_000)
    IO.puts("figures kills: #{line(figures)} seconds=#{seconds}")
  end

  # -- Its rounds -----------------------------------------------------------------------------------------------------

  # The stores take turns. A round's seed, count and store are all that it takes to replay it.
  defp rounds(options) do
    count = div(options.kills + @kills_per_round - 1, @kills_per_round)

    for number <- 0..(count - 1) do
      %Round{
        kind: Enum.at(options.stores, rem(number, length(options.stores))),
        seed: options.seed + number,
        kills: min(@kills_per_round, options.kills - number * @kills_per_round),
        directory: Path.join(options.directory, "round-#{number + 1}"),
        server: options.server
      }
    end
  end

  defp judged(round, options) do
    %{files: files, told: told} = run(round)
    {said, status} = System.cmd(options.checker, files, stderr_to_stdout: true)
    if status != 0, do: stop(round, said)
    figures = figures(said, told)
    IO.puts("#{round.kind}, seed #{round.seed}: #{line(figures)}")

    for name <- ~w(saved recovered), figures[name] == 0 do
      stop(round, "Nothing was #{name}, so nothing is shown.")
    end

    if not options.keep, do: File.rm_rf!(round.directory)
    figures
  end

  # In a process of its own: whatever a round has started ends with it.
  defp run(round) do
    {pid, monitor} = spawn_monitor(fn -> exit({:shutdown, Round.run(round)}) end)

    receive do
      {:DOWN, ^monitor, :process, ^pid, {:shutdown, %{files: _files} = ran}} -> ran
      {:DOWN, ^monitor, :process, ^pid, reason} -> stop(round, Exception.format_exit(reason))
    end
  end

  defp stop(round, why) do
    IO.puts(:stderr, [
      why,
      "\nThe history is in #{round.directory}. The same schedule again: ",
      "scripts/kill-run --kills #{round.kills} --seed #{round.seed} --store #{round.kind}"
    ])

    System.halt(1)
  end

  # -- Figures --------------------------------------------------------------------------------------------------------

  defp figures(said, told) do
    [_line, pairs] = Regex.run(~r/^figures history: (.*)$/m, said)

    counted =
      for pair <- String.split(pairs), [name, count] = String.split(pair, "="), do: {name, String.to_integer(count)}

    counted |> Map.new() |> Map.merge(Map.new(told, fn {signal, count} -> {Atom.to_string(signal), count} end))
  end

  defp line(figures), do: Enum.map_join(@figures, " ", &"#{&1}=#{Map.fetch!(figures, &1)}")

  # -- Options --------------------------------------------------------------------------------------------------------

  defp options!(arguments) do
    {options, [], []} =
      OptionParser.parse(arguments,
        strict: [
          kills: :integer,
          seed: :integer,
          store: :string,
          keep: :boolean,
          directory: :string,
          server: :string,
          checker: :string
        ]
      )

    %{
      kills: options[:kills],
      seed: options[:seed] || :rand.uniform(1_000_000_000),
      stores: stores(options[:store], options[:server]),
      keep: options[:keep] || false,
      directory: Keyword.fetch!(options, :directory),
      server: options[:server],
      checker: Keyword.fetch!(options, :checker)
    }
  end

  defp stores("s3", server) when server != nil, do: [:s3]
  defp stores("disk", _server), do: [:disk]
  defp stores("both", nil), do: [:disk]
  defp stores("both", _server), do: [:s3, :disk]
end
