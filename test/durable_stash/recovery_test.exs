defmodule DurableStash.RecoveryTest do
  use DurableStash.Case, async: true

  import ExUnit.CaptureLog

  defp v1(engine, stash \\ []) do
    view(engine, [stored_keys: [:count, draft: :reconnect], vsn: 1] ++ stash, assigns: [count: 0, draft: ""])
  end

  defp v2(engine, stash \\ []) do
    view(engine, [stored_keys: [:total, text: :reconnect], vsn: 2] ++ stash, assigns: [total: 0, text: ""])
  end

  defp migrate(1, stored) do
    for {old, new} <- [{"count", "total"}, {"draft", "text"}],
        {:ok, value} <- [Map.fetch(stored, old)],
        into: %{} do
      {new, value}
    end
  end

  defp views(backend, view \\ DurableStash.SomeLive),
    do: document(backend).views[Atom.to_string(view)]

  describe "versions" do
    test "fault_38: two versions that write alternately lose neither's keys", %{
      engine: engine,
      backend: backend
    } do
      session = Page.session()
      {old, old_page} = Page.mount(Page.open(session), v1(engine))
      {new, new_page} = Page.mount(Page.open(session), v2(engine))

      for n <- 1..10 do
        LiveViewProcess.save(old, count: n, draft: "v1 #{n}")
        LiveViewProcess.save(new, total: n * 100, text: "v2 #{n}")
      end

      assert %{"1" => %{"data" => %{"count" => 10}}, "2" => %{"data" => %{"total" => 1_000}}} =
               views(backend)

      {old, _page} = Page.mount(old_page, v1(engine))
      {new, _page} = Page.mount(new_page, v2(engine))
      assert %{count: 10, draft: "v1 10"} = LiveViewProcess.assigns(old)
      assert %{total: 1_000, text: "v2 10"} = LiveViewProcess.assigns(new)
    end

    test "fault_39: a rollback finds its own state as it left it, and so does the way forward again",
         %{engine: engine} do
      {lv, page} = Page.mount(Page.open(Page.session()), v1(engine))
      LiveViewProcess.save(lv, count: 1, draft: "old")
      LiveViewProcess.close(lv)

      {lv, page} = Page.mount(page, v2(engine, migrate: &migrate/2))
      assert %{total: 1, text: "old"} = LiveViewProcess.assigns(lv)
      LiveViewProcess.save(lv, total: 2, text: "new")
      LiveViewProcess.close(lv)

      {lv, page} = Page.mount(page, v1(engine))
      assert %{count: 1, draft: "old"} = LiveViewProcess.assigns(lv)
      LiveViewProcess.save(lv, count: 50)
      LiveViewProcess.close(lv)

      {lv, _page} = Page.mount(page, v2(engine, migrate: &migrate/2))
      assert %{total: 2, text: "new"} = LiveViewProcess.assigns(lv)
    end

    test "without a migration a new version starts from its defaults", %{engine: engine} do
      {lv, page} = Page.mount(Page.open(Page.session()), v1(engine))
      LiveViewProcess.save(lv, count: 1)
      {lv, _page} = Page.mount(page, v2(engine))
      assert LiveViewProcess.recovered(lv) == :not_found
      assert %{total: 0} = LiveViewProcess.assigns(lv)
    end

    test "a migration gets text keys, and may name the new ones by the declared atoms", %{
      engine: engine
    } do
      test = self()
      {lv, page} = Page.mount(Page.open(Page.session()), v1(engine))
      LiveViewProcess.save(lv, count: %{step: 1}, draft: "old")

      migrate = fn from, stored ->
        send(test, {:migrated, from, stored})
        %{"text" => "both", total: 7, unknown: 1}
      end

      {lv, _page} = Page.mount(page, v2(engine, migrate: migrate))
      assert_received {:migrated, 1, %{"count" => %{"step" => 1}, "draft" => "old"}}
      assert LiveViewProcess.recovered(lv) == :recovered
      assert %{total: 7, text: "both"} = assigns = LiveViewProcess.assigns(lv)
      refute Map.has_key?(assigns, :unknown)
    end

    test "what was migrated is stored under the new version with the next stash, changed or not",
         context do
      %{engine: engine, backend: backend} = context
      {lv, page} = Page.mount(Page.open(Page.session()), v1(engine))
      LiveViewProcess.save(lv, count: 1, draft: "old")
      {lv, _page} = Page.mount(page, v2(engine, migrate: &migrate/2))
      assert :ok = LiveViewProcess.stash(lv)
      assert :ok = LiveViewProcess.flush(lv)
      assert %{"2" => %{"data" => %{"total" => 1}, "tabs" => tabs}} = views(backend)
      assert [%{"data" => %{"text" => "old"}}] = Map.values(tabs)
    end

    test "a reset is a reset: what an older version stored is not migrated again", %{
      engine: engine
    } do
      new = v2(engine, migrate: &migrate/2)
      {lv, page} = Page.mount(Page.open(Page.session()), v1(engine))
      LiveViewProcess.save(lv, count: 1, draft: "old")
      {lv, page} = Page.mount(page, new)
      LiveViewProcess.save(lv, total: 2)
      LiveViewProcess.reset(lv)
      assert LiveViewProcess.flush(lv) == :ok

      {lv, _page} = Page.mount(page, new)
      assert LiveViewProcess.recovered(lv) == :not_found
      assert %{total: 0, text: ""} = LiveViewProcess.assigns(lv)
    end

    for {case, migrate} <- [
          {"raises", quote(do: fn _, _ -> raise "no" end)},
          {"returns a non-map", quote(do: fn _, _ -> :no end)},
          {"never ends", quote(do: fn _, _ -> receive(do: (:never -> %{})) end)}
        ] do
      @tag engine: [recover_timeout: 50]
      test "fault_40: a migration that #{case} is {:error, socket}, and changes nothing",
           context do
        %{engine: engine, backend: backend} = context
        {lv, page} = Page.mount(Page.open(Page.session()), v1(engine))
        LiveViewProcess.save(lv, count: 1, draft: "old")
        LiveViewProcess.close(lv)
        before = TestBackend.dump(backend)

        {{lv, page}, _log} =
          with_log(fn -> Page.mount(page, v2(engine, migrate: unquote(migrate))) end)

        assert LiveViewProcess.recovered(lv) == :error
        assert %{total: 0, text: ""} = LiveViewProcess.assigns(lv)
        assert TestBackend.dump(backend) == before

        {lv, _page} = Page.mount(page, v1(engine))
        assert %{count: 1, draft: "old"} = LiveViewProcess.assigns(lv)
      end
    end

    test "fault_41: a migration at an HTTP render keeps the keys that are out of its scope",
         context do
      %{engine: engine, backend: backend} = context
      new = v2(engine, migrate: &migrate/2)
      {lv, page} = Page.mount(Page.open(Page.session()), v1(engine))
      LiveViewProcess.save(lv, count: 1, draft: "old")
      LiveViewProcess.close(lv)
      before = TestBackend.dump(backend)

      dead = Page.render(page, [mount: &LiveStash.stash/1] ++ new)
      assert %{total: 1, text: ""} = LiveViewProcess.assigns(dead)
      assert TestBackend.dump(backend) == before

      {lv, _page} = Page.mount(page, new)
      assert %{total: 1, text: "old"} = LiveViewProcess.assigns(lv)
    end

    test "fault_41: a migration in one tab keeps the other tab's keys for its rejoin", %{
      engine: engine
    } do
      new = v2(engine, migrate: &migrate/2)
      session = Page.session()
      {one, one_page} = Page.mount(Page.open(session), v1(engine))
      LiveViewProcess.save(one, count: 1, draft: "one")
      {two, two_page} = Page.mount(Page.open(session), v1(engine))
      LiveViewProcess.save(two, draft: "two")
      Enum.each([one, two], &LiveViewProcess.close/1)

      {one, _page} = Page.mount(one_page, new)
      assert %{total: 1, text: "one"} = LiveViewProcess.assigns(one)
      LiveViewProcess.save(one, total: 2)

      {two, _page} = Page.mount(two_page, new)
      assert %{total: 2, text: "two"} = LiveViewProcess.assigns(two)
    end
  end

  describe "a store that does not answer" do
    @describetag engine: [recover_timeout: 50]

    test "is {:error, socket} where nothing is cached, and no message arrives later", context do
      %{engine: engine, backend: backend} = context
      {lv, page} = Page.mount(Page.open(Page.session()), v1(engine))
      LiveViewProcess.save(lv, count: 1, draft: "old")
      LiveViewProcess.close(lv)
      restart_engine(engine, recover_timeout: 50)

      TestBackend.stall_gets(backend, 1)
      {{lv, page}, _log} = with_log(fn -> Page.mount(page, v1(engine)) end)
      assert LiveViewProcess.recovered(lv) == :error
      assert %{count: 0} = LiveViewProcess.assigns(lv)

      TestBackend.release(backend)
      {lv, _page} = Page.mount(page, v1(engine))
      assert %{count: 1, draft: "old"} = LiveViewProcess.assigns(lv)
      assert LiveViewProcess.unhandled(lv) == []
    end

    test "is answered for by a cached copy, and that is told", %{engine: engine, backend: backend} do
      observe(engine, [[:durable_stash, :recover, :stop]])
      {lv, page} = Page.mount(Page.open(Page.session()), v1(engine))
      LiveViewProcess.save(lv, count: 1)
      TestBackend.stall_gets(backend, 1)
      {lv, _page} = Page.mount(page, v1(engine))
      assert LiveViewProcess.recovered(lv) == :recovered
      assert %{count: 1} = LiveViewProcess.assigns(lv)

      assert_received {:telemetry, [:durable_stash, :recover, :stop], %{keys: 2}, %{result: :recovered, stale?: true}}

      TestBackend.release(backend)
    end

    @tag engine: [recover_timeout: 50, serve_stale: false]
    test "is {:error, socket} with serve_stale: false", %{engine: engine, backend: backend} do
      {lv, page} = Page.mount(Page.open(Page.session()), v1(engine))
      LiveViewProcess.save(lv, count: 1)
      TestBackend.stall_gets(backend, 1)
      {{lv, _page}, _log} = with_log(fn -> Page.mount(page, v1(engine)) end)
      assert LiveViewProcess.recovered(lv) == :error
      TestBackend.release(backend)
    end
  end

  describe "after a recovery that failed" do
    @describetag engine: [recover_timeout: 50]

    # A mount that the store did not answer, with what was stored before it.
    defp mount_in_outage(%{engine: engine, backend: backend}, view) do
      {lv, page} = Page.mount(Page.open(Page.session()), wide(engine))
      LiveViewProcess.save(lv, count: 41, theme: "dark", draft: "Dear")
      LiveViewProcess.close(lv)
      restart_engine(engine, recover_timeout: 50)
      TestBackend.stall_gets(backend, 1)
      {{lv, page}, _log} = with_log(fn -> Page.mount(page, view) end)
      TestBackend.release(backend)
      assert LiveViewProcess.recovered(lv) == :error
      {lv, page}
    end

    defp wide(engine, stash \\ [], options \\ [assigns: [count: 0, theme: "light", draft: ""]]),
      do: view(engine, [stored_keys: [:count, :theme, draft: :reconnect]] ++ stash, options)

    defp stored(engine, page) do
      {lv, _page} = Page.mount(page, wide(engine))
      Map.take(LiveViewProcess.assigns(lv), [:count, :theme, :draft])
    end

    test "the next stash leaves what did not change as it is stored", %{engine: engine} = context do
      {lv, page} = mount_in_outage(context, wide(engine))
      LiveViewProcess.save(lv, count: 1)
      assert LiveViewProcess.status(lv) == :saved
      assert stored(engine, page) == %{count: 1, theme: "dark", draft: "Dear"}
    end

    test "a stash without a change stores nothing", %{engine: engine, backend: backend} = context do
      {lv, page} = mount_in_outage(context, wide(engine))
      before = TestBackend.dump(backend)
      LiveViewProcess.save(lv, [])
      assert TestBackend.dump(backend) == before
      assert stored(engine, page) == %{count: 41, theme: "dark", draft: "Dear"}
    end

    test "auto_stash after the first render stores no default, and then what changes",
         %{engine: engine, backend: backend} = context do
      {lv, page} = mount_in_outage(context, wide(engine, auto_stash: true))
      assert LiveViewProcess.flush(lv) == :ok
      LiveViewProcess.assign(lv, theme: "blue")
      assert LiveViewProcess.flush(lv) == :ok
      assert %{gets: _, commits: 2} = TestBackend.counts(backend)
      assert stored(engine, page) == %{count: 41, theme: "blue", draft: "Dear"}
    end

    for auto_stash <- [false, true] do
      test "what the mount assigns only then are defaults too (auto_stash: #{auto_stash})",
           %{engine: engine} = context do
        defaults = &Phoenix.Component.assign(&1, count: 0, theme: "light", draft: "")
        {lv, page} = mount_in_outage(context, wide(engine, [auto_stash: unquote(auto_stash)], mount: defaults))
        LiveViewProcess.save(lv, count: 1)
        assert stored(engine, page) == %{count: 1, theme: "dark", draft: "Dear"}
      end
    end

    test "a key that was sent goes out again, even as the default that it was", %{engine: engine} = context do
      {lv, page} = mount_in_outage(context, wide(engine))
      LiveViewProcess.save(lv, count: 1)
      LiveViewProcess.save(lv, count: 0)
      assert stored(engine, page) == %{count: 0, theme: "dark", draft: "Dear"}
    end

    test "an engine's restart sends no default", %{engine: engine} = context do
      {lv, page} = mount_in_outage(context, wide(engine))
      LiveViewProcess.save(lv, count: 1)
      restart_engine(engine)
      LiveViewProcess.save(lv, [])
      assert stored(engine, page) == %{count: 1, theme: "dark", draft: "Dear"}
    end

    test "a reset makes the defaults ours to store", %{engine: engine} = context do
      {lv, page} = mount_in_outage(context, wide(engine))
      LiveViewProcess.reset(lv)
      LiveViewProcess.save(lv, [])
      assert stored(engine, page) == %{count: 0, theme: "light", draft: ""}
    end

    test "another try that succeeds ends it", %{engine: engine} = context do
      {lv, page} = mount_in_outage(context, wide(engine))
      assert :recovered = LiveViewProcess.run(lv, &LiveStash.recover_state/1)
      LiveViewProcess.save(lv, count: 42, theme: "light")
      assert stored(engine, page) == %{count: 42, theme: "light", draft: "Dear"}
    end

    @tag engine: []
    test "one that failed in an event does not hold back what this LiveView stashed", context do
      %{engine: engine, backend: backend} = context
      {lv, page} = Page.mount(Page.open(Page.session()), wide(engine))
      LiveViewProcess.save(lv, count: 1)
      restart_engine(engine, recover_timeout: 50)
      TestBackend.reset(backend)
      TestBackend.deny_gets(backend, 1)
      with_log(fn -> assert :error = LiveViewProcess.run(lv, &LiveStash.recover_state/1) end)
      LiveViewProcess.save(lv, [])
      assert stored(engine, page) == %{count: 1, theme: "light", draft: ""}
    end

    @tag engine: []
    test "a migration that failed leaves the new version empty until a key changes", context do
      %{engine: engine, backend: backend} = context
      {lv, page} = Page.mount(Page.open(Page.session()), v1(engine))
      LiveViewProcess.save(lv, count: 1, draft: "old")
      broken = v2(engine, migrate: fn _, _ -> raise "no" end, auto_stash: true)
      {{lv, page}, _log} = with_log(fn -> Page.mount(page, broken) end)
      assert LiveViewProcess.flush(lv) == :ok
      refute Map.has_key?(views(backend), "2")
      LiveViewProcess.close(lv)

      {lv, page} = Page.mount(page, v2(engine, migrate: &migrate/2))
      assert %{total: 1, text: "old"} = LiveViewProcess.assigns(lv)
      LiveViewProcess.close(lv)

      {{lv, _page}, _log} = with_log(fn -> Page.mount(page, broken) end)
      LiveViewProcess.save(lv, total: 5)
      assert %{"2" => %{"data" => data}} = views(backend)
      assert data == %{"total" => 5}
    end
  end

  describe "objects that are no documents of ours" do
    setup %{engine: engine, backend: backend} do
      {lv, page} = Page.mount(Page.open(Page.session()), v1(engine))
      LiveViewProcess.save(lv, count: 1)
      LiveViewProcess.close(lv)
      [object] = Map.keys(TestBackend.dump(backend))
      restart_engine(engine)
      %{page: page, object: object}
    end

    test "fault_26: a damaged one is {:error, socket}, and is copied aside before a write replaces it",
         context do
      %{engine: engine, backend: backend, object: object} = context

      for body <- ["", "<html></html>", "{}", ~s({"format":1}\n{}), <<0, 255>>] do
        TestBackend.put_object(backend, object, body)
        {{lv, _page}, _log} = with_log(fn -> Page.mount(context.page, v1(engine)) end)
        assert LiveViewProcess.recovered(lv) == :error
        LiveViewProcess.close(lv)
        assert TestBackend.dump(backend)[object] == body
      end

      {{lv, page}, _log} = with_log(fn -> Page.mount(context.page, v1(engine)) end)
      LiveViewProcess.save(lv, count: 2)

      assert Enum.any?(TestBackend.dump(backend), fn {name, body} ->
               name =~ "quarantine/" and body == <<0, 255>>
             end)

      {lv, _page} = Page.mount(page, v1(engine))
      assert %{count: 2} = LiveViewProcess.assigns(lv)
    end

    test "fault_28: one of a newer release is {:error, socket}, and never overwritten", context do
      %{engine: engine, backend: backend, object: object} = context
      newer = ~s({"format":99,"anything":true}\n{}\n)
      TestBackend.put_object(backend, object, newer)
      {{lv, _page}, _log} = with_log(fn -> Page.mount(context.page, v1(engine)) end)
      assert LiveViewProcess.recovered(lv) == :error

      LiveViewProcess.stash(lv, count: 2)
      assert {:error, %Error{kind: :newer_format}} = LiveViewProcess.flush(lv)
      assert LiveViewProcess.status(lv) == :unsaved
      assert TestBackend.dump(backend) == %{object => newer}
    end
  end

  test "a fresh page under an id seen before starts blank, also where its mount found no engine", %{engine: engine} do
    view = view(engine, [stored_keys: [:count, note: :reconnect]], assigns: [count: 0, note: ""])
    page = Page.open(Page.session(), script: false)
    {lv, page} = Page.mount(page, view)
    LiveViewProcess.save(lv, count: 1, note: "of the page before")
    LiveViewProcess.close(lv)

    :ok = stop_supervised(engine)
    {lv, page} = Page.mount(Page.navigate(page), view)
    assert LiveViewProcess.recovered(lv) == :error
    start_engine(engine)
    LiveViewProcess.save(lv, count: 2)

    {rejoined, _page} = Page.mount(page, view)
    assert %{count: 2, note: ""} = LiveViewProcess.assigns(rejoined)
  end
end
