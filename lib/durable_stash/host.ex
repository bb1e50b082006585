defmodule DurableStash.Host do
  @moduledoc false
  # What a LiveView lends to its LiveComponents and to the LiveViews nested in it: whose session it is, and which tab.
  #
  # Components run in their LiveView's process and find it in the process dictionary. A dead render runs in a process that
  # serves other requests too, so an entry is found by the LiveView's id and module alone, and each page clears those of the
  # page before. What is kept is sealed in functions, since crash reports print dictionaries. Nested LiveViews have processes
  # of their own, and find the tab in a registry, where asking never waits for a busy parent.

  alias DurableStash.Peers
  alias DurableStash.Session
  alias DurableStash.Tab
  alias Phoenix.LiveView
  alias Phoenix.LiveView.Socket

  @key :durable_stash_hosts
  @hook :durable_stash_host

  # As many handles of components that are out of the page, or in it, are kept: of those that were shown last.
  @handles 256

  @type key :: {id :: String.t(), view :: module()}

  @typedoc """
  What a LiveView lends: its context as it was at the mount, whether it still mounts, and its components' handles, each with the
  moment at which it was shown last. `dropped`: where the latest of the mounts stands whose handles are not kept any more.
  """
  @type lent :: %{
          context: DurableStash.Context.t(),
          mounting?: boolean(),
          handles: %{String.t() => {shown :: integer(), Session.t()}},
          dropped: nil | non_neg_integer()
        }

  @doc "How a LiveView, and every component in it, knows the LiveView."
  @spec key(Socket.t()) :: key()
  def key(%Socket{id: id, view: view}), do: {id, view}

  @doc "From now on components and nested LiveViews find this one."
  @spec attach(Socket.t(), DurableStash.Context.t()) :: Socket.t()
  def attach(socket, context) do
    # A sticky LiveView has no parent either, but is rendered in the page of another one.
    others = if socket.parent_pid == nil and socket.sticky? != true, do: %{}, else: Process.get(@key, %{})
    lent = %{context: context, mounting?: true, handles: %{}, dropped: nil}
    Process.put(@key, Map.put(others, key(socket), fn -> lent end))

    if context.tab.mount == :dead do
      socket
    else
      Peers.join({:tab, self()}, context.tab)
      # A view that asks for its stash twice, by itself and by its live session, has worked before.
      socket |> LiveView.detach_hook(@hook, :after_render) |> LiveView.attach_hook(@hook, :after_render, &rendered/1)
    end
  end

  @doc "What the LiveView lends."
  @spec fetch(key()) :: {:ok, lent()} | :error
  def fetch(key) do
    with %{^key => sealed} <- Process.get(@key, %{}), do: {:ok, sealed.()}, else: (_other -> :error)
  end

  @doc "The handle of a component that was shown before."
  @spec handle(lent(), slice :: String.t()) :: Session.t() | nil
  def handle(%{handles: handles}, slice) do
    with %{^slice => {_shown, session}} <- handles, do: session, else: (_other -> nil)
  end

  @doc """
  Keeps a handle that was opened, or whose component is shown again, so that a component which is taken out of the page and put
  in again is no later mount of its tab. One that is not kept any more saves what it has taken, and a new one is opened late.
  """
  @spec keep(DurableStash.Context.t()) :: :ok
  def keep(%{host: nil}), do: :ok

  def keep(%{host: key, component?: true} = context),
    do: update(key, &kept(&1, context.slice, context.session))

  def keep(%{host: key} = context), do: update(key, &put_in(&1.context.session, context.session))

  @doc "Whether the component's LiveView is superseded: then so is the component."
  @spec superseded?(DurableStash.Context.t()) :: boolean()
  def superseded?(%{component?: true, host: key}) do
    with {:ok, %{context: %{session: %Session{} = session}}} <- fetch(key),
         {:ok, %{superseded?: superseded?}} <- Session.status(session),
         do: superseded?,
         else: (_unknown -> false)
  end

  def superseded?(_context), do: false

  @doc "The tab of the LiveView that this one is nested in, or of one further out."
  @spec tab_around(Socket.t()) :: {:ok, Tab.t()} | :error
  def tab_around(%Socket{parent_pid: parent, root_pid: root}) do
    around = for pid <- Enum.uniq([parent, root]), {^pid, tab} <- Peers.lookup({:tab, pid}), do: tab
    with [tab | _further_out] <- around, do: {:ok, tab}, else: ([] -> :error)
  end

  @doc "Whether a dead render has met a LiveView that a nested one may be in."
  @spec any?() :: boolean()
  def any?, do: Enum.any?(Process.get(@key, %{}), fn {_key, sealed} -> sealed.().context.tab.lost == nil end)

  defp kept(lent, slice, session) do
    handles = Map.put(lent.handles, slice, {System.unique_integer([:monotonic]), session})

    if map_size(handles) > @handles do
      {slice, {_shown, session}} = Enum.min_by(handles, fn {_slice, {shown, _session}} -> shown end)
      %{lent | handles: Map.delete(handles, slice), dropped: max(lent.dropped || 0, Session.epoch(session) || 0)}
    else
      %{lent | handles: handles}
    end
  end

  # The first render has all components that the page starts with. Those that come later do not take part in the mount.
  defp rendered(socket) do
    update(key(socket), &%{&1 | mounting?: false})
    LiveView.detach_hook(socket, @hook, :after_render)
  end

  defp update(key, fun) do
    with {:ok, lent} <- fetch(key) do
      lent = fun.(lent)
      Process.put(@key, Map.put(Process.get(@key), key, fn -> lent end))
    end

    :ok
  end
end
