defmodule DurableStash.SavingTest do
  use DurableStash.Case, async: true

  import ExUnit.CaptureLog

  @keys [:count, theme: :session, draft: :reconnect]
  @defaults [assigns: [count: 0, theme: "light", draft: ""]]

  describe "status/1 and flush/2" do
    setup context do
      {lv, page} =
        Page.mount(
          Page.open(Page.session()),
          view(context.engine, [stored_keys: @keys], @defaults)
        )

      %{lv: lv, page: page}
    end

    test "nothing stashed is saved", %{lv: lv} do
      assert LiveViewProcess.status(lv) == :saved
      assert LiveViewProcess.flush(lv) == :ok
    end

    test "an accepted write is :pending, then :saving, until the store has it", %{lv: lv, backend: backend} do
      TestBackend.stall_puts(backend, 1)
      LiveViewProcess.stash(lv, count: 1)
      assert LiveViewProcess.status(lv) in [:pending, :saving]
      assert eventually(fn -> LiveViewProcess.status(lv) == :saving end)
      TestBackend.release(backend)
      assert LiveViewProcess.flush(lv) == :ok
      assert LiveViewProcess.status(lv) == :saved
      assert %{views: views} = document(backend)
      assert %{"1" => %{"data" => %{"count" => 1}}} = views["Elixir.DurableStash.SomeLive"]
    end

    test "giving up says that the outcome is open, and leaves no message behind", %{
      lv: lv,
      backend: backend
    } do
      TestBackend.stall_puts(backend, 1)
      LiveViewProcess.stash(lv, count: 1)
      assert {:error, %Error{kind: :timeout}} = LiveViewProcess.flush(lv, 0)
      assert LiveViewProcess.status(lv) in [:pending, :saving]

      TestBackend.release(backend)
      assert LiveViewProcess.flush(lv) == :ok
      assert LiveViewProcess.unhandled(lv) == []
    end

    test "fault_73: a timeout that cannot be waited raises before anything is asked for", %{lv: lv} do
      socket = LiveViewProcess.socket(lv)

      for bad <- [-1, 1.5, nil, :soon, 4_294_967_296] do
        assert_raise ArgumentError, ~r/flush\/2: the timeout takes/, fn -> DurableStash.flush(socket, bad) end
      end

      LiveViewProcess.stash(lv, count: 1)
      assert LiveViewProcess.flush(lv, :infinity) == :ok
      assert LiveViewProcess.flush(lv, 4_294_967_295) == :ok
      assert LiveViewProcess.unhandled(lv) == []
    end

    test "raise on a socket that was never initialized" do
      for call <- [
            &DurableStash.status/1,
            &DurableStash.flush/1,
            &DurableStash.forget/1,
            &DurableStash.stash/1
          ] do
        assert_raise ArgumentError, ~r/use LiveStash, adapter: DurableStash/, fn ->
          call.(%Phoenix.LiveView.Socket{})
        end
      end
    end
  end

  describe "faults of the store" do
    setup context do
      {lv, page} =
        Page.mount(
          Page.open(Page.session()),
          view(context.engine, [stored_keys: @keys], @defaults)
        )

      %{lv: lv, page: page, view: view(context.engine, [stored_keys: @keys], @defaults)}
    end

    test "fault_19: what is stashed while the store is away is saved when it is back", context do
      %{lv: lv, backend: backend} = context
      observe(context.engine, [[:durable_stash, :retry]])
      TestBackend.fail_puts(backend, 1_000_000)
      for count <- 1..50, do: LiveViewProcess.stash(lv, count: count)
      assert_receive {:telemetry, [:durable_stash, :retry], %{delay_ms: _}, _metadata}
      assert LiveViewProcess.status(lv) in [:pending, :saving]
      assert {:error, %Error{kind: :timeout}} = LiveViewProcess.flush(lv, 0)
      assert TestBackend.dump(backend) == %{}

      TestBackend.fail_puts(backend, 1)
      TestBackend.reset(backend)
      assert LiveViewProcess.flush(lv) == :ok

      assert %{views: %{"Elixir.DurableStash.SomeLive" => %{"1" => %{"data" => data}}}} =
               document(backend)

      assert data == %{"count" => 50, "theme" => "light"}
    end

    test "fault_57: a burst of a thousand stashes costs two writes", %{lv: lv, backend: backend} do
      TestBackend.stall_puts(backend, 1)
      LiveViewProcess.stash(lv, count: 1)
      # Not before: a session that is slow to begin would take them all with its first write.
      assert eventually(fn -> TestBackend.counts(backend).puts == 1 end)
      for count <- 2..1_000, do: LiveViewProcess.stash(lv, count: count)
      # Read after write: now the session has all of them.
      assert {:recovered, %{assigns: %{count: 1_000}}} = LiveViewProcess.run(lv, &{LiveStash.recover_state(&1), &1})
      TestBackend.release(backend)
      assert LiveViewProcess.flush(lv) == :ok
      assert %{puts: 2, most_in_flight: in_flight} = TestBackend.counts(backend)
      # A read beside the write.
      assert in_flight <= 2

      assert %{
               views: %{
                 "Elixir.DurableStash.SomeLive" => %{"1" => %{"data" => %{"count" => 1_000}}}
               }
             } = document(backend)
    end

    test "a lost answer is no second write", %{lv: lv, backend: backend} do
      TestBackend.drop_put_answers(backend, 1)
      assert LiveViewProcess.save(lv, count: 1) == :ok
      assert %{commits: 1} = TestBackend.counts(backend)
      assert %{header: %{"rev" => 1}} = document(backend)
    end

    test "lost races are no errors", %{lv: lv, backend: backend} do
      TestBackend.conflict(backend, 3, :moved)
      TestBackend.conflict(backend, 3, :busy)
      assert LiveViewProcess.save(lv, count: 1) == :ok

      assert %{views: %{"Elixir.DurableStash.SomeLive" => %{"1" => %{"data" => %{"count" => 1}}}}} =
               document(backend)
    end

    @tag engine: [max_document_bytes: 10_000]
    test "after a write that failed the next stash sends everything", context do
      %{lv: lv, page: page, view: view, backend: backend} = context
      LiveViewProcess.save(lv, count: 1, theme: "dark", draft: "Dear")
      LiveViewProcess.stash(lv, count: 2, theme: String.duplicate("too large", 2_000))
      assert {:error, %Error{kind: :too_large}} = LiveViewProcess.flush(lv)
      assert LiveViewProcess.status(lv) == :unsaved

      # Nothing of what was saved before is needed to make the next stash whole.
      TestBackend.delete_object(backend, hd(Map.keys(TestBackend.dump(backend))))
      assert LiveViewProcess.save(lv, theme: "blue") == :ok
      assert LiveViewProcess.status(lv) == :saved

      {rejoined, _page} = Page.mount(page, view)
      assert %{count: 2, theme: "blue", draft: "Dear"} = LiveViewProcess.assigns(rejoined)
    end
  end

  describe "a new engine" do
    test "gets everything that a living LiveView keeps, though its store is empty", %{
      engine: engine,
      backend: backend
    } do
      view = view(engine, [stored_keys: @keys], @defaults)
      {lv, page} = Page.mount(Page.open(Page.session()), view)
      LiveViewProcess.save(lv, count: 1, theme: "dark", draft: "Dear")
      restart_engine(engine)
      TestBackend.reset(backend)

      assert LiveViewProcess.save(lv, count: 2) == :ok
      {rejoined, _page} = Page.mount(page, view)
      assert %{count: 2, theme: "dark", draft: "Dear"} = LiveViewProcess.assigns(rejoined)
    end

    test "recovers what the one before saved", %{engine: engine} do
      view = view(engine, [stored_keys: @keys], @defaults)
      {lv, page} = Page.mount(Page.open(Page.session()), view)
      LiveViewProcess.stash(lv, count: 1, draft: "Dear")
      LiveViewProcess.close(lv)
      restart_engine(engine)

      {rejoined, _page} = Page.mount(page, view)
      assert %{count: 1, draft: "Dear"} = LiveViewProcess.assigns(rejoined)
    end

    test "is waited for: without one nothing raises, and the next stash finds it", %{
      engine: engine
    } do
      view = view(engine, [stored_keys: @keys], @defaults)
      :ok = stop_supervised(engine)

      {lv, _page} =
        with_log_dropped(fn ->
          {lv, page} = Page.mount(Page.open(Page.session()), view)
          assert LiveViewProcess.recovered(lv) == :error
          LiveViewProcess.stash(lv, count: 1)
          LiveViewProcess.reset(lv)
          LiveViewProcess.stash(lv, count: 2)
          assert LiveViewProcess.status(lv) == :unsaved
          assert {:error, %Error{kind: :engine_down}} = LiveViewProcess.flush(lv)
          {lv, page}
        end)

      start_engine(engine)
      assert LiveViewProcess.save(lv, count: 3) == :ok
      assert LiveViewProcess.status(lv) == :saved
    end
  end

  describe "durability: :await" do
    test "a stash returns when it is saved", %{engine: engine, backend: backend} do
      view = view(engine, [stored_keys: @keys, durability: :await], @defaults)
      {lv, _page} = Page.mount(Page.open(Page.session()), view)

      status =
        LiveViewProcess.run(lv, fn socket ->
          socket = LiveStash.stash(socket)
          {DurableStash.status(socket), socket}
        end)

      assert status == :saved
      assert %{commits: 1} = TestBackend.counts(backend)
    end
  end

  defp with_log_dropped(fun) do
    {result, _log} = with_log(fun)
    result
  end
end
