defmodule DurableStash.StandingTest do
  use DurableStash.Case, async: true

  alias DurableStash.Context
  alias DurableStash.Session

  @all [:count, :draft]

  # As the engine has it, without a look that the LiveView would answer by sending again.
  defp engine_status(lv) do
    {:ok, status} = LiveViewProcess.run(lv, &{Session.status(Context.fetch!(&1).session), &1})
    status
  end

  # The first write is given up after `max_unsaved_age`; the second is younger by then, and saved.
  defp given_up_and_saved(lv, backend, first, second) do
    TestBackend.fail_puts(backend, 1, retry_after: 4_000)
    first.(lv)
    Process.sleep(1_000)
    second.(lv)
    assert eventually(fn -> match?(%{failures: 1, accepted: n, saved: n}, engine_status(lv)) end)
  end

  describe "what is saved after a failure does not hide it:" do
    @describetag engine: [max_unsaved_age: 2_000]

    test "a reset that was given up is done again, and :unsaved until it is", %{engine: engine, backend: backend} do
      view = view(engine, stored_keys: @all)
      {lv, page} = Page.mount(Page.open(Page.session()), view)
      LiveViewProcess.save(lv, count: 1, draft: "to be emptied")

      # A release that does not know the draft any more would not send it again.
      {lv, page} = Page.mount(page, view(engine, stored_keys: [:count]))
      given_up_and_saved(lv, backend, &LiveViewProcess.reset/1, &LiveViewProcess.stash(&1, count: 2))
      assert LiveViewProcess.status(lv) == :unsaved
      assert {:error, %{kind: :unavailable}} = LiveViewProcess.flush(lv)

      LiveViewProcess.stash(lv)
      assert LiveViewProcess.flush(lv) == :ok
      assert LiveViewProcess.status(lv) == :saved
      {lv, _page} = Page.mount(page, view)
      assert %{count: 2} = assigns = LiveViewProcess.assigns(lv)
      refute is_map_key(assigns, :draft)
    end

    test "a stash that was given up is sent again, although a recovery has looked in between", context do
      %{engine: engine, backend: backend} = context
      {lv, page} = Page.mount(Page.open(Page.session()), view(engine, stored_keys: @all))
      LiveViewProcess.save(lv, count: 1)
      draft = &LiveViewProcess.stash(&1, draft: "given up")
      given_up_and_saved(lv, backend, draft, &LiveViewProcess.stash(&1, count: 2))

      LiveViewProcess.run(lv, &LiveStash.recover_state/1)
      assert LiveViewProcess.status(lv) == :unsaved
      assert {:error, %{kind: :unavailable}} = LiveViewProcess.flush(lv)
      LiveViewProcess.stash(lv)
      assert LiveViewProcess.flush(lv) == :ok
      {lv, _page} = Page.mount(page, view(engine, stored_keys: @all))
      assert %{count: 2, draft: "given up"} = LiveViewProcess.assigns(lv)
    end
  end

  @tag engine: [shutdown_timeout: 50]
  test "what an engine took down with it is :unsaved, although the next one has nothing open", context do
    %{engine: engine, backend: backend} = context
    {lv, page} = Page.mount(Page.open(Page.session()), view(engine, stored_keys: @all))
    LiveViewProcess.save(lv, count: 1)
    TestBackend.stall_puts(backend, 1)
    LiveViewProcess.stash(lv, draft: "lost")
    ExUnit.CaptureLog.capture_log(fn -> restart_engine(engine) end)

    # Only a stash sends it again.
    LiveViewProcess.run(lv, &LiveStash.recover_state/1)
    assert LiveViewProcess.status(lv) == :unsaved
    assert {:error, %{kind: :unavailable}} = LiveViewProcess.flush(lv)
    TestBackend.release(backend)
    LiveViewProcess.stash(lv)
    assert LiveViewProcess.flush(lv) == :ok
    assert LiveViewProcess.status(lv) == :saved
    {lv, _page} = Page.mount(page, view(engine, stored_keys: @all))
    assert %{count: 1, draft: "lost"} = LiveViewProcess.assigns(lv)
  end
end
