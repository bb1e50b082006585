defmodule DurableStash.Kills.Round do
  @moduledoc """
  Two nodes on one store, each killed, stopped and frozen by its schedule while its clients work. Then both end in order, a
  third node reads every page, and the history is judged.
  """

  alias DurableStash.Kills.Journal
  alias DurableStash.Kills.Node
  alias DurableStash.Kills.OsProcess
  alias DurableStash.Kills.Schedule
  alias DurableStash.Kills.Store

  @nodes ["a", "b"]
  @sessions 6
  @secret String.duplicate("the secret of the kill runs ", 2)

  @start_timeout 60_000
  @killed 128 + 9
  # Longer than a shutdown may take.
  @stop_timeout 30_000

  @enforce_keys [:kind, :seed, :kills, :directory, :server]
  defstruct [:kind, :seed, :kills, :directory, :server, :store]

  @doc "Runs it. Returns the files of its history, and how often each signal was sent. Raises if a node misbehaves."
  def run(%__MODULE__{} = round) do
    File.mkdir_p!(journals(round))
    round = %{round | store: Store.start(round.kind, round.directory, round.seed, round.server)}
    schedule = Schedule.steps(round.seed, @nodes, round.kills)

    conductor = self()
    workers = for name <- @nodes, do: Task.async(fn -> live(round, name, Map.fetch!(schedule, name), conductor) end)

    # Both go on until each has been through its schedule.
    for %{pid: pid} <- workers, do: receive(do: ({:through, ^pid} -> :ok))
    for %{pid: pid} <- workers, do: send(pid, :finish)
    told = workers |> Task.await_many(:infinity) |> Enum.reduce(&Map.merge(&1, &2, fn _signal, m, n -> m + n end))
    look(round)

    about = about(round)
    versions = Store.stop(round.store, sessions())
    %{files: [about, versions | Path.wildcard(Path.join(journals(round), "*"))], told: told}
  end

  # -- A node's way through its schedule ------------------------------------------------------------------------------

  defp live(round, name, steps, conductor) do
    journal = Journal.open(journal(round, "conductor-#{name}"))
    life = %{round: round, name: name, journal: journal, run: 0, process: nil, told: %{kills: 0, freezes: 0, terms: 0}}
    life = steps |> Enum.reduce(life, &step(&2, &1)) |> ready()
    send(conductor, {:through, self()})
    run_until_told(life.process)
    finish(life)
  end

  defp step(life, {:freeze, {:work, ms}, frozen}) do
    life = worked(life, ms)
    happened(life, :freeze)
    OsProcess.freeze(life.process, frozen)
    happened(life, :resume)
    count(life, :freezes)
  end

  defp step(life, {:term, {:work, ms}}) do
    life = worked(life, ms)
    term(life)
    ended(life, 0) |> count(:terms)
  end

  defp step(life, {:kill, {:work, ms}}), do: life |> worked(ms) |> kill()

  defp step(life, {:kill, {:boot, ms}}) do
    life = started(life)
    OsProcess.let_run(life.process, ms)
    kill(life)
  end

  # It may be done with its shutdown before: then this was a SIGTERM, and the kill is still owed.
  defp step(life, {:kill, {:drain, before, ms}}) do
    life = worked(life, before)
    term(life)

    with :running <- OsProcess.await_exit(life.process, ms) do
      happened(life, :kill)
      OsProcess.signal(life.process, "KILL")
      OsProcess.await_exit(life.process, @stop_timeout)
    end
    |> case do
      @killed -> %{life | process: nil} |> count(:terms) |> count(:kills)
      0 -> %{life | process: nil} |> count(:terms) |> step({:kill, {:work, before}})
      other -> misbehaved(life, other)
    end
  end

  defp worked(life, ms) do
    life = ready(life)
    OsProcess.let_run(life.process, ms)
    life
  end

  defp term(life) do
    happened(life, :term)
    OsProcess.signal(life.process, "TERM")
  end

  defp kill(life) do
    happened(life, :kill)
    OsProcess.signal(life.process, "KILL")
    life |> ended(@killed) |> count(:kills)
  end

  defp ended(life, status) do
    case OsProcess.await_exit(life.process, @stop_timeout) do
      ^status -> %{life | process: nil}
      other -> misbehaved(life, other)
    end
  end

  defp misbehaved(%{process: process}, status),
    do: raise("#{process.name} ended with #{inspect(status)}; see #{process.log}")

  defp finish(life) do
    OsProcess.tell(life.process, "finish")
    ended(life, 0).told
  end

  defp run_until_told(process) do
    OsProcess.let_run(process, 50)

    receive do
      :finish -> :ok
    after
      0 -> run_until_told(process)
    end
  end

  defp started(%{process: nil} = life) do
    life = %{life | run: life.run + 1}
    happened(life, :start)
    %{life | process: start(life.round, "#{life.name}.#{life.run}", :work, pages(life.name), life.run)}
  end

  defp started(life), do: life

  defp ready(%{process: nil} = life) do
    life = started(life)
    OsProcess.await_line(life.process, "ready", @start_timeout)
    life
  end

  defp ready(life), do: life

  defp count(life, signal), do: update_in(life.told[signal], &(&1 + 1))

  defp happened(life, event), do: Journal.write(life.journal, event, node: "#{life.name}.#{life.run}")

  # -- Its nodes ------------------------------------------------------------------------------------------------------

  defp look(round) do
    pages = Enum.uniq(pages("a") ++ pages("b"))
    life = %{process: start(round, "reader", :look, pages, 0)}
    OsProcess.await_line(life.process, "ready", @start_timeout)
    ended(life, 0)
  end

  defp start(round, name, role, pages, run) do
    node = %{
      name: name,
      role: role,
      config: config(round),
      journal: journal(round, name),
      pages: pages,
      seed: round.seed + run
    }

    paths = Enum.flat_map(:code.get_path(), &["-pa", List.to_string(&1)])
    boot = ["-s", Atom.to_string(Node), "boot", "-extra", Base.encode64(:erlang.term_to_binary(node)), round.directory]
    # Two nodes and a store share the machine: no scheduler spins while it has nothing to do.
    arguments = ~w(-noshell +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none) ++ paths ++ boot
    OsProcess.start(name, System.find_executable("erl"), arguments, round.directory)
  end

  # Short times, so that much happens in a short life.
  defp config(round) do
    Store.config(round.store) ++
      [
        secret: @secret,
        idle_after: 300,
        sweep_every: 1_000,
        attempt_timeout: if(round.kind == :s3, do: 400, else: 5_000),
        backoff_base: 10,
        backoff_cap: 500,
        shutdown_timeout: 5_000
      ]
  end

  # The same browser sessions on both nodes. Of a form's tabs one is used on this node, one on the other, one on both.
  defp pages(node) do
    for {sid, _object} <- sessions(), page <- [form(sid, node), form(sid, "both"), list(sid, node)], do: page
  end

  defp form(sid, tab) do
    %{
      sid: sid,
      tab: "phx-#{sid}-form-#{tab}",
      view: DurableStash.Kills.FormLive,
      session: [:count, :theme],
      reconnect: [:draft, :note],
      durability: if(tab == "both", do: :async, else: :await)
    }
  end

  defp list(sid, node) do
    %{
      sid: sid,
      tab: "phx-#{sid}-list-#{node}",
      view: DurableStash.Kills.ListLive,
      session: [:filter, :sort],
      reconnect: [],
      durability: :async
    }
  end

  # -- The history ----------------------------------------------------------------------------------------------------

  defp about(round) do
    path = Path.join(round.directory, "about.jsonl")
    journal = Journal.open(path)
    Journal.put(journal, [log: true], :run)
    for {sid, object} <- sessions(), do: Journal.put(journal, [s: sid, object: object], :session)
    path
  end

  defp sessions do
    for number <- 1..@sessions, sid = "session-#{number}", do: {sid, Store.object(@secret, sid)}
  end

  defp journals(round), do: Path.join(round.directory, "journals")
  defp journal(round, name), do: Path.join(journals(round), "#{name}.jsonl")
end
