defmodule DurableStash.HookTest do
  use DurableStash.Case, async: true

  import ExUnit.CaptureLog

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

  test "it says :saving with the stash, and :saved by a message", %{
    engine: engine,
    backend: backend
  } do
    %{lv: lv} = mount(engine)
    TestBackend.stall_puts(backend, 1)
    LiveViewProcess.stash(lv, count: 1)
    assert stash_status(lv) == :saving

    TestBackend.release(backend)
    assert eventually(fn -> stash_status(lv) == :saved end)
    assert LiveViewProcess.unhandled(lv) == []
  end

  @tag engine: [max_document_bytes: 10_000]
  test "it says :unsaved when a write failed, until the next stash", context do
    %{engine: engine, backend: backend} = context
    %{lv: lv} = mount(engine)
    LiveViewProcess.stash(lv, count: String.duplicate("too large", 2_000))
    assert eventually(fn -> stash_status(lv) == :unsaved end)

    TestBackend.stall_puts(backend, 1)
    LiveViewProcess.stash(lv, count: 2)
    assert stash_status(lv) == :saving
    TestBackend.release(backend)
    assert eventually(fn -> stash_status(lv) == :saved end)
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
    assert stash_status(lv) == :saving
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
    assert stash_status(lv) == :saving
    TestBackend.release(backend)
    assert eventually(fn -> stash_status(lv) == :saved end)
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
