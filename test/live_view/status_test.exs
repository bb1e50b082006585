Code.require_file("support/live_view_case.exs", __DIR__)

defmodule DurableStash.LiveView.StatusTest do
  use DurableStash.LiveViewCase

  for path <- ["/status", "/auto_status"] do
    describe "the assign that #{path} names in status:" do
      @describetag path: path

      setup %{browser: browser, path: path} do
        page = browser |> Browser.load(path) |> Page.connect() |> change(%{"count" => 1})
        await_status(page, "saved")
        %{page: page}
      end

      test "goes from saving to saved by itself", %{page: page, store: store} do
        TestBackend.stall_puts(store, 1)
        change(page, %{"count" => 2})
        await_status(page, "saving")
        TestBackend.release(store)
        await_status(page, "saved")
      end

      @tag engine: [max_document_bytes: 2_000]
      test "is unsaved from when a write failed until one is saved", %{page: page} do
        change(page, %{"draft" => String.duplicate("x", 3_000)})
        await_status(page, "unsaved")
        change(page, %{"count" => 2, "draft" => "shorter"})
        await_status(page, "saved")

        assert %{"count" => "2", "draft" => "shorter"} = page |> Page.connect() |> Page.shown()
      end

      test "is unsaved while there is no engine", %{page: page, engine: engine} do
        stop_supervised!(engine)
        change(page, %{"count" => 2})
        await_status(page, "unsaved")
        start_engine(engine)
        change(page, %{"count" => 3})
        await_status(page, "saved")
      end

      test "is unsaved for a LiveView whose tab has mounted again", %{page: zombie} do
        page = Page.connect(zombie)
        change(zombie, %{"count" => 100})
        await_status(zombie, "unsaved")
        await_status(page, "saved")
        assert %{"count" => "1"} = Page.shown(page)
      end

      test "is unsaved while an assign holds what cannot be stored", %{page: page} do
        # Nothing that a client sends is refused for its kind, but for its depth.
        change(page, %{"draft" => Enum.reduce(1..200, [], fn _level, inner -> [inner] end)})
        await_status(page, "unsaved")
        change(page, %{"draft" => "Dear"})
        await_status(page, "saved")
      end
    end
  end

  test "a LiveView whose stashes are refused for good comes to rest", %{browser: browser} do
    zombie = browser |> Browser.load("/auto_status") |> Page.connect()
    _page = Page.connect(zombie)
    Page.send_event(zombie, "change", %{"count" => 100})
    await_status(zombie, "unsaved")

    await(fn ->
      before = Process.info(zombie.view, :reductions)
      Process.sleep(20)
      Process.info(zombie.view, :reductions) == before
    end)
  end

  test "the status is shown on the dead render and on a rejoin", %{browser: browser} do
    page = Browser.load(browser, "/status")
    assert %{"stash_status" => "saved"} = Page.shown(page)
    page = page |> Page.connect() |> Page.save(%{"count" => 1})
    assert %{"stash_status" => "saved"} = page |> Page.connect() |> Page.shown()
  end

  test "a view that asked for no status gets no message", %{browser: browser} do
    page = browser |> Browser.load("/draft") |> Page.connect()
    :erlang.trace(page.view, true, [:receive])
    Page.stash(page, %{"count" => 1})
    await(fn -> match?([_document], documents()) end)

    refute_received {:trace, _view, :receive, {:durable_stash_status, _tag, _change}}
    refute_received {:trace, _view, :receive, {:durable_stash, _id, _reply}}
  end

  # One view stashes by itself what the other one stashes on demand.
  defp change(%{path: "/status"} = page, changes), do: Page.stash(page, changes)

  defp change(%{path: "/auto_status"} = page, changes),
    do: Page.send_event(page, "change", changes)

  defp await_status(page, status), do: await(fn -> Page.shown(page)["stash_status"] == status end)

  defp documents,
    do: for(%{} = document <- Map.values(TestBackend.dump(SomeApp.Stashes)), do: document)
end
