defmodule DurableStash.HookTest do
  use DurableStash.Case, async: true

  import ExUnit.CaptureLog

  alias DurableStash.Context

  defp mount(engine, stash \\ []) do
    view =
      view(engine, [stored_keys: [:count], status: :stash_status] ++ stash, assigns: [count: 0])

    {lv, page} = Page.mount(Page.open(Page.session()), view)
    %{lv: lv, page: page, view: view}
  end

  # Everything that is in the LiveView's mailbox now was handled when this returns.
  defp stash_status(lv), do: LiveViewProcess.assigns(lv).stash_status

  test "the assign is there from the first render on, the dead one too", %{engine: engine} do
    %{lv: lv, page: page, view: view} = mount(engine)
    assert stash_status(lv) == :saved
    assert stash_status(Page.render(page, view)) == :saved
  end

  # Not before a write has taken as long as that.
  @quick 200

  defp await_status(lv, status), do: assert(eventually(fn -> stash_status(lv) == status end))

  # As if the handle's writes had been on their way for so long.
  defp age(lv, milliseconds) do
    LiveViewProcess.run(lv, fn socket ->
      context = Context.fetch!(socket)
      sent_at = System.monotonic_time(:millisecond) - milliseconds
      older = fn {op, _sent_at} -> {op, sent_at} end
      standing = context.standing |> Map.update!(:oldest, older) |> Map.update!(:latest, older)
      {:ok, Context.put(socket, %{context | standing: standing})}
    end)

    send(lv, {:durable_stash_status, nil, :look})
    :ok
  end

  test "it says :saving once a write takes longer than 200 ms, and :saved by a message", %{
    engine: engine,
    backend: backend
  } do
    %{lv: lv} = mount(engine)
    TestBackend.stall_puts(backend, 1)
    started_at = System.monotonic_time(:millisecond)
    LiveViewProcess.stash(lv, count: 1)
    await_status(lv, :saving)
    assert System.monotonic_time(:millisecond) - started_at >= @quick

    TestBackend.release(backend)
    await_status(lv, :saved)
    assert LiveViewProcess.unhandled(lv) == []
  end

  test "on a mount that recovers what is not saved yet it says so, until it is", context do
    %{engine: engine, backend: backend} = context
    %{lv: lv, page: page, view: view} = mount(engine)
    LiveViewProcess.save(lv, count: 1)
    TestBackend.stall_puts(backend, 1)
    LiveViewProcess.stash(lv, count: 2)

    {lv, page} = Page.mount(page, view)
    assert LiveViewProcess.assigns(lv).count == 2
    assert LiveViewProcess.status(lv) in [:pending, :saving]
    await_status(lv, :saving)
    dead = Page.render(page, view)
    assert stash_status(dead) in [:pending, :saving]

    TestBackend.release(backend)
    await_status(lv, :saved)
    assert LiveViewProcess.status(lv) == :saved
    {lv, page} = Page.mount(page, view)
    assert LiveViewProcess.status(lv) == :saved
    assert stash_status(Page.render(page, view)) == :saved
  end

  @tag engine: [max_unsaved_age: 300]
  test "on a mount that recovered what is then given up it says :unsaved, until that is sent again", context do
    %{engine: engine, backend: backend} = context
    %{lv: lv, page: page, view: view} = mount(engine)
    LiveViewProcess.save(lv, count: 1)
    TestBackend.deny_puts(backend, 1_000_000)
    LiveViewProcess.stash(lv, count: 2)

    {lv, page} = Page.mount(page, view)
    assert LiveViewProcess.assigns(lv).count == 2
    await_status(lv, :unsaved)
    assert {:error, %{kind: :unavailable}} = LiveViewProcess.flush(lv)

    TestBackend.reset(backend)
    LiveViewProcess.stash(lv, [])
    assert LiveViewProcess.flush(lv) == :ok
    await_status(lv, :saved)
    {lv, _page} = Page.mount(page, view)
    assert LiveViewProcess.assigns(lv).count == 2
  end

  # In one look, so that no message comes between the two.
  defp both(lv) do
    LiveViewProcess.run(lv, &{{&1.assigns.stash_status, DurableStash.status(&1)}, &1})
  end

  test "it is :pending in the very turn of a stash, and :saved by a message", context do
    %{lv: lv} = mount(context.engine)
    TestBackend.stall_puts(context.backend, 1)
    started_at = System.monotonic_time(:millisecond)

    in_turn =
      LiveViewProcess.run(lv, fn socket ->
        socket = socket |> Phoenix.Component.assign(count: 1) |> LiveStash.stash()
        {{socket.assigns.stash_status, DurableStash.status(socket)}, socket}
      end)

    assert in_turn == {:pending, :pending} or System.monotonic_time(:millisecond) - started_at >= @quick
    TestBackend.release(context.backend)
    await_status(lv, :saved)
    assert both(lv) == {:saved, :saved}

    # The timer of the first 200 ms says what is true when it fires.
    send(lv, {:durable_stash_status, nil, :look})
    assert both(lv) == {:saved, :saved}
    assert LiveViewProcess.unhandled(lv) == []
  end

  test "it always is what DurableStash.status/1 says", context do
    %{lv: lv, page: page, view: view} = mount(context.engine)
    assert both(lv) == {:saved, :saved}
    TestBackend.stall_puts(context.backend, 1)
    LiveViewProcess.stash(lv, count: 1)

    for {milliseconds, status} <- [{@quick, :saving}, {1_000, :saving}, {5_000, :unsaved}] do
      age(lv, milliseconds)
      assert both(lv) == {status, status}
    end

    TestBackend.release(context.backend)
    await_status(lv, :saved)
    assert both(lv) == {:saved, :saved}

    capture_log(fn -> LiveViewProcess.stash(lv, count: self()) end)
    assert both(lv) == {:unsaved, :unsaved}
    LiveViewProcess.save(lv, count: 2)
    await_status(lv, :saved)
    assert both(lv) == {:saved, :saved}

    # The tab mounts again: nobody has to stash for that to be seen.
    {_lv, _page} = Page.mount(page, view)
    await_status(lv, :unsaved)
    assert both(lv) == {:unsaved, :unsaved}
  end

  test "it counts from the oldest write that is not saved, however many follow", context do
    %{lv: lv} = mount(context.engine)
    TestBackend.stall_puts(context.backend, 1)
    LiveViewProcess.stash(lv, count: 1)
    age(lv, @quick)
    assert stash_status(lv) == :saving
    LiveViewProcess.stash(lv, count: 2)
    assert stash_status(lv) == :saving
    TestBackend.release(context.backend)
    await_status(lv, :saved)
  end

  test "a write that takes five seconds is :unsaved, and :saved when it lands", context do
    %{lv: lv} = mount(context.engine)
    TestBackend.stall_puts(context.backend, 1)
    LiveViewProcess.stash(lv, count: 1)
    age(lv, 1_000)
    assert stash_status(lv) == :saving
    age(lv, 5_000)
    assert stash_status(lv) == :unsaved
    assert LiveViewProcess.status(lv) == :unsaved

    # A later write does not make the first one any younger.
    LiveViewProcess.stash(lv, count: 2)
    assert LiveViewProcess.status(lv) == :unsaved
    assert stash_status(lv) == :unsaved

    TestBackend.release(context.backend)
    await_status(lv, :saved)
    assert LiveViewProcess.status(lv) == :saved
  end

  @tag engine: [max_document_bytes: 10_000]
  test "it says :unsaved when a write failed, until the next one is saved", context do
    %{engine: engine, backend: backend} = context
    %{lv: lv} = mount(engine)
    LiveViewProcess.stash(lv, count: String.duplicate("too large", 2_000))
    await_status(lv, :unsaved)

    TestBackend.stall_puts(backend, 1)
    LiveViewProcess.stash(lv, count: 2)
    assert stash_status(lv) in [:unsaved, :pending, :saving]
    await_status(lv, :saving)
    TestBackend.release(backend)
    await_status(lv, :saved)
  end

  test "it says :unsaved while a value cannot be stored", %{engine: engine} do
    %{lv: lv} = mount(engine)
    capture_log(fn -> LiveViewProcess.stash(lv, count: self()) end)
    assert stash_status(lv) == :unsaved
    LiveViewProcess.save(lv, count: 1)
    assert eventually(fn -> stash_status(lv) == :saved end)
  end

  test "with auto_stash it is shown by a message, since what is assigned after a render is not rendered",
       context do
    %{lv: lv} = mount(context.engine, auto_stash: true)
    TestBackend.stall_puts(context.backend, 1)
    LiveViewProcess.assign(lv, count: 1)
    await_status(lv, :saving)
    TestBackend.release(context.backend)
    assert eventually(fn -> stash_status(lv) == :saved end)
    assert LiveViewProcess.unhandled(lv) == []
  end

  test "it follows a new engine", %{engine: engine, backend: backend} do
    %{lv: lv} = mount(engine)
    LiveViewProcess.save(lv, count: 1)
    restart_engine(engine)
    TestBackend.stall_puts(backend, 1)
    LiveViewProcess.stash(lv, count: 2)
    await_status(lv, :saving)
    TestBackend.release(backend)
    await_status(lv, :saved)
  end

  test "other messages pass", %{engine: engine} do
    %{lv: lv} = mount(engine)
    send(lv, {:durable_stash_other, 1})
    send(lv, :tick)
    LiveViewProcess.status(lv)
    assert LiveViewProcess.unhandled(lv) == [{:durable_stash_other, 1}, :tick]
  end

  test "a view that did not ask gets no message for a write that went well", %{engine: engine} do
    view = view(engine, stored_keys: [:count])
    {lv, _page} = Page.mount(Page.open(Page.session()), view)
    :erlang.trace(lv, true, [:receive])
    LiveViewProcess.save(lv, count: 1)
    LiveViewProcess.save(lv, count: 2)
    :erlang.trace(lv, false, [:receive])

    refute_received {:trace, ^lv, :receive, {:durable_stash_status, _tag, _change}}

    assert LiveViewProcess.unhandled(lv) == []
  end
end
