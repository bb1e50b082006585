# One node of the demo, an OS process of its own. It tells the conductor on standard output, a line each:
#
#   ready                                              the engine runs, the LiveViews are mounted
#   saved SESSION PAGE NUMBER STASHES MICROSECONDS     flush/2 returned :ok for this number; the time is from its last stash
#   stats STASHES PUTS                                 so far
#   recovered SESSION PAGE STATUS COUNT DRAFT          what a rejoin got back

defmodule DurableStash.Demo.Node do
  alias DurableStash.Engine
  alias DurableStash.LiveViewProcess
  alias DurableStash.Page

  # A session has three pages open: a counter, and a form in two tabs with a draft each.
  @pages [counter: :counter, form: :left, form: :right]
  @burst 4

  def run(["work", directory, sessions]) do
    start(directory)
    stashes = :counters.new(1, [:write_concurrency])
    users = for session <- numbers(sessions), page <- pages(), do: mounted(session, page, 0)
    say("ready")
    for user <- users, do: spawn_link(fn -> use_page(user, 1, stashes) end)
    report(stashes)
  end

  def run(["recover", directory, sessions]) do
    start(directory)

    for session <- numbers(sessions), page <- pages() do
      {lv, _page} = mounted(session, page, 1) |> elem(2)
      %{count: count, draft: draft} = LiveViewProcess.assigns(lv)
      say("recovered #{session} #{page} #{LiveViewProcess.recovered(lv)} #{count} #{draft}")
    end

    # An orderly stop.
    :ok = Application.stop(:durable_stash)
  end

  defp start(directory) do
    Application.put_env(:live_stash, :adapters, [DurableStash])

    Application.put_all_env(
      durable_stash: [
        backend: {:disk, path: directory},
        secret: String.duplicate("the demo's ", 4)
      ]
    )

    {:ok, _started} = Application.ensure_all_started(:durable_stash)
  end

  defp numbers(count), do: 1..String.to_integer(count)
  defp pages, do: 0..(length(@pages) - 1)

  defp mounted(session, page, mounts) do
    {kind, tab} = Enum.at(@pages, page)

    open =
      Page.open(Page.session("browser-session-#{session}"),
        id: "phx-#{session}-#{tab}",
        script: false
      )

    {session, page, Page.mount(%{open | mounts: mounts}, view(kind))}
  end

  # `count` is the counter's and lives for the session; each tab of the form has a `draft` of its own.
  defp view(kind) do
    [
      view: Module.concat(DurableStash.Demo, kind),
      stash: [adapter: DurableStash, stored_keys: [count: scope(kind), draft: :reconnect]],
      assigns: [count: 0, draft: 0]
    ]
  end

  defp scope(:counter), do: :session
  defp scope(:form), do: :reconnect

  # As a person types: a few stashes, then a pause in which the page may say "saved".
  defp use_page({session, page, {lv, _page}} = user, number, stashes) do
    last = number + :rand.uniform(@burst) - 1
    for n <- number..last, do: :ok = LiveViewProcess.stash(lv, count: n, draft: n)
    :counters.add(stashes, 1, last - number + 1)
    started = System.monotonic_time(:microsecond)
    :ok = LiveViewProcess.flush(lv, :infinity)

    say("saved #{session} #{page} #{last} #{last - number + 1} #{System.monotonic_time(:microsecond) - started}")

    Process.sleep(:rand.uniform(400))
    use_page(user, last + 1, stashes)
  end

  defp report(stashes) do
    Process.sleep(500)
    {:ok, stats} = Engine.stats()
    say("stats #{:counters.get(stashes, 1)} #{stats.puts}")
    report(stashes)
  end

  defp say(line), do: IO.write([line, ?\n])
end

DurableStash.Demo.Node.run(System.argv())
