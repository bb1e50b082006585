defmodule DurableStash.Kills.Client do
  @moduledoc """
  One page, used without a pause: stashes of values that nobody else writes, flushes of many timeouts, lost connections,
  tabs that mount again while their old LiveView lives on. Everything is in the journal before it is done, and what came
  back when it did.
  """

  alias DurableStash.Context
  alias DurableStash.Error
  alias DurableStash.Kills.Journal
  alias DurableStash.LiveViewProcess
  alias DurableStash.Page
  alias Phoenix.Component

  # Longer than anything that a round's plan holds back: a write that is not saved by then is stuck.
  @patience 30_000

  @enforce_keys [:journal, :node, :name, :page, :rng]
  # `mounts` numbers its LiveViews. The rest is the present one's: its process, its name in the journal, its last write,
  # its writes of which nothing was heard yet, the last value of each key, and whether it can write no more.
  defstruct [:journal, :node, :name, :page, :rng, :lv, :c, mounts: 0, w: 0, open: [], sent: %{}, over?: false]

  @doc """
  Uses a page until the message `:finish` arrives, then waits until everything is saved. A page is a map:

    * `:sid`, `:tab`: of which browser session and tab;
    * `:view`: the view's name, `:session` and `:reconnect` its keys of these scopes;
    * `:durability`: as the option of `use LiveStash`.
  """
  def run(node, name, page, seed), do: node |> new(name, page, seed) |> mount(:rejoin) |> use_page()

  @doc "Mounts a page once, and reads."
  def look(node, name, page), do: node |> new(name, page, 0) |> mount(:rejoin) |> close()

  defp new(node, name, page, seed) do
    %__MODULE__{
      journal: Journal.open(node.journal),
      node: node.name,
      name: name,
      page: page,
      rng: :rand.seed_s(:exsss, seed)
    }
  end

  defp use_page(client) do
    {pause, client} = roll(client, 40)

    receive do
      :finish -> finish(client)
    after
      pause -> client |> act() |> connected() |> use_page()
    end
  end

  defp act(client) do
    case roll(client, 100) do
      {die, client} when die <= 60 -> client |> stash_some() |> stash_some() |> flush_some()
      {die, client} when die <= 80 -> stash_some(client)
      {die, client} when die <= 86 -> client |> flush_some() |> reconnect(:rejoin)
      {die, client} when die <= 90 -> client |> stash_some() |> reconnect(:rejoin)
      {die, client} when die <= 92 -> reconnect(client, :fresh)
      {die, client} when die <= 95 -> outlive(client)
      {die, client} when die <= 97 -> client |> reset() |> stash(keys(client)) |> flush_some()
      {_die, client} -> read_dead(client)
    end
  end

  # After a failure a LiveView sends everything again, values that others wrote among it. Here each value has one writer,
  # so a LiveView whose write failed is replaced by one that has only recovered.
  defp connected(%{over?: true} = client) do
    Process.sleep(50)
    reconnect(client, :rejoin)
  end

  defp connected(client), do: client

  defp finish(client) do
    case flush(client, @patience) do
      {:ok, client} ->
        close(client)

      # The same page is open on the other node.
      {{:error, :superseded}, client} ->
        close(client)

      {{:error, kind}, client} ->
        raise "the last flush of #{client.c} said #{kind} after #{@patience} ms at most, and the store was there"
    end
  end

  # -- What a page does -----------------------------------------------------------------------------------------------

  defp stash_some(client) do
    {keys, client} = pick(client, keys(client))
    stash(client, keys)
  end

  defp stash(%{over?: true} = client, _keys), do: client

  defp stash(client, keys) do
    {length, client} = roll(client, 40)
    values = Map.new(keys, &{&1, value(client, length)})

    %{client | sent: Map.merge(client.sent, values)}
    |> invoke([op: :stash] ++ by_scope(client, values))
    |> write(&(&1 |> Component.assign(values) |> LiveStash.stash()))
  end

  defp by_scope(%{page: page}, values),
    do: [session: Map.take(values, page.session), tab: Map.take(values, page.reconnect)]

  # The next stash sends everything that is assigned again: `act/1` has it assign everything anew first.
  defp reset(%{over?: true} = client), do: client
  defp reset(client), do: %{client | sent: %{}} |> invoke(op: :reset) |> write(&LiveStash.reset_stash/1)

  defp invoke(%{w: w} = client, fields) do
    Journal.write(client.journal, :invoke, [c: client.c, w: w + 1] ++ fields)
    %{client | w: w + 1, open: [w + 1 | client.open]}
  end

  defp write(client, fun) do
    {error, status} =
      LiveViewProcess.run(client.lv, fn socket ->
        socket = fun.(socket)
        {{Context.fetch!(socket).error, DurableStash.status(socket)}, socket}
      end)

    case error do
      # It has waited, if it is one that does.
      nil when status == :saved and client.page.durability == :await -> saved(client)
      nil -> client
      # Now that its tab has mounted again nothing of it is sent any more.
      %Error{kind: :superseded} -> %{failed(client, client.w) | over?: true}
      # It goes out with the next stash.
      %Error{} -> client
    end
  end

  defp flush_some(%{over?: true} = client), do: client

  defp flush_some(client) do
    {timeout, client} = pick_one(client, [0, 3, 30, 300, 3_000, 3_000])

    case flush(client, timeout) do
      {:ok, client} -> client
      {{:error, :timeout}, client} -> client
      {{:error, _kind}, client} -> %{client | over?: true}
    end
  end

  defp flush(client, timeout) do
    case LiveViewProcess.flush(client.lv, timeout) do
      :ok -> {:ok, saved(client)}
      {:error, %Error{kind: kind}} -> {{:error, kind}, not_saved(client, kind)}
    end
  end

  defp saved(client) do
    if client.open != [] do
      Journal.write(client.journal, :saved, c: client.c, upto: client.w)
      Journal.write(client.journal, :flushed, [c: client.c] ++ by_scope(client, client.sent))
    end

    %{client | open: []}
  end

  # Of several it is not said which one was refused.
  defp not_saved(%{open: [only]} = client, :superseded), do: failed(client, only)
  defp not_saved(client, _kind), do: client

  defp failed(client, w) do
    Journal.write(client.journal, :failed, c: client.c, w: w, kind: :superseded)
    %{client | open: List.delete(client.open, w)}
  end

  defp reconnect(client, mount) do
    close(client)
    mount(client, mount)
  end

  # A half-open connection: the LiveView before lives on beside the one that its page has now.
  defp outlive(client) do
    now = mount(client, :rejoin)
    client |> stash_some() |> stash_some() |> flush_some() |> close()
    now
  end

  # The HTTP render of a page: it reads what is of no tab, and claims nothing.
  defp read_dead(client) do
    {c, client} = named(client)
    journal_open(client, c, :dead)
    Journal.write(client.journal, :read, c: c, r: 1)
    lv = Page.render(page(client), view(client))
    answered(client, c, lv, :dead)
    close(%{client | lv: lv, c: c})
    client
  end

  defp mount(client, mount) do
    {c, client} = named(client)
    journal_open(client, c, mount)
    Journal.write(client.journal, :read, c: c, r: 1)
    {lv, _page} = Page.mount(%{page(client) | mounts: if(mount == :fresh, do: 0, else: 1)}, view(client))
    answered(client, c, lv, mount)
    # Without an engine that takes it, as in a shutdown, it is a mount that claims nothing.
    if LiveViewProcess.run(lv, &{Context.fetch!(&1).session != nil, &1}),
      do: Journal.write(client.journal, :opened, c: c)

    %{client | lv: lv, c: c, w: 0, open: [], sent: %{}, over?: false}
  end

  defp close(client) do
    LiveViewProcess.close(client.lv)
    Journal.write(client.journal, :close, c: client.c)
  end

  # -- The journal ----------------------------------------------------------------------------------------------------

  defp journal_open(%{page: page} = client, c, mount) do
    Journal.write(client.journal, :open,
      c: c,
      s: page.sid,
      node: client.node,
      view: Atom.to_string(page.view),
      vsn: 1,
      tab: page.tab,
      mount: mount,
      stores_tab: page.reconnect != []
    )
  end

  defp answered(client, c, lv, mount) do
    {assigns, stale?} = LiveViewProcess.run(lv, &{{&1.assigns, Process.get(__MODULE__, false)}, &1})

    answer =
      case LiveViewProcess.recovered(lv) do
        :recovered -> [found: Map.new(by_scope(client, assigns)), stale: stale?]
        # Of the keys in scope: there may be others.
        :not_found -> [found: %{}]
        :error -> [error: :unavailable]
      end

    # The tab's keys come back to a rejoin only.
    scope = if mount == :rejoin, do: [], else: [scope: :session]
    Journal.write(client.journal, :answer, [c: c, r: 1] ++ scope ++ answer)
  end

  @doc "Has each LiveView of this node note whether its recovery was answered with an old copy."
  def note_stale_answers do
    :ok = :telemetry.attach(__MODULE__, [:durable_stash, :recover, :stop], &__MODULE__.note_stale_answer/4, nil)
  end

  @doc false
  def note_stale_answer(_event, _measurements, metadata, nil),
    do: Process.put(__MODULE__, Map.get(metadata, :stale?, false))

  # -- Its page -------------------------------------------------------------------------------------------------------

  defp page(%{page: page}), do: Page.open(Page.session(page.sid), id: page.tab, script: false)

  # Of what is stored nothing is assigned at mount, so that no default is ever stashed. Something is: a mount is rendered.
  defp view(%{page: page}) do
    scopes = for(key <- page.session, do: {key, :session}) ++ for key <- page.reconnect, do: {key, :reconnect}
    stash = [adapter: DurableStash, stored_keys: scopes, durability: page.durability]
    [view: page.view, stash: stash, assigns: [title: page.tab]]
  end

  defp keys(%{page: page}), do: page.session ++ page.reconnect

  defp named(client), do: {"#{client.node}-#{client.name}-#{client.mounts + 1}", %{client | mounts: client.mounts + 1}}

  defp value(client, length), do: String.pad_trailing("#{client.c}:#{client.w + 1}", length, ".")

  # -- Chance ---------------------------------------------------------------------------------------------------------

  defp roll(client, sides) do
    {die, rng} = :rand.uniform_s(sides, client.rng)
    {die, %{client | rng: rng}}
  end

  defp pick_one(client, list) do
    {die, client} = roll(client, length(list))
    {Enum.at(list, die - 1), client}
  end

  # One of them at least.
  defp pick(client, list) do
    {first, client} = pick_one(client, list)

    Enum.reduce(list, {[first], client}, fn key, {keys, client} ->
      {die, client} = roll(client, 2)
      {if(die == 1 and key != first, do: [key | keys], else: keys), client}
    end)
  end
end
