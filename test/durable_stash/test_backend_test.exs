defmodule DurableStash.TestBackendTest do
  use DurableStash.Case, async: true

  setup %{engine: engine} do
    view = view(engine, stored_keys: [:a])
    {lv, page} = Page.mount(Page.open(Page.session()), view)
    %{lv: lv, page: page, view: view}
  end

  test "dump/1 shows documents decoded", %{lv: lv, backend: backend} do
    LiveViewProcess.save(lv, a: %{b: [1, nil]})
    assert [{name, %{header: header, views: views}}] = Map.to_list(TestBackend.dump(backend))
    assert name =~ ~r"\Adurable_stash/[0-9a-f]{2}/[0-9a-f]{64}\z"
    assert %{"format" => 1, "rev" => 1} = header

    assert %{
             "Elixir.DurableStash.SomeLive" => %{"1" => %{"data" => %{"a" => %{"b" => [1, nil]}}}}
           } = views
  end

  test "objects outlive the engine, and reset/1", context do
    LiveViewProcess.save(context.lv, a: 1)
    restart_engine(context.engine)
    {lv, page} = Page.mount(context.page, context.view)
    assert %{a: 1} = LiveViewProcess.assigns(lv)

    restart_engine(context.engine)
    TestBackend.reset(context.backend)
    assert TestBackend.dump(context.backend) == %{}
    {lv, _page} = Page.mount(page, context.view)
    assert LiveViewProcess.recovered(lv) == :not_found
  end

  test "stores of different names are apart", %{lv: lv, backend: backend} do
    LiveViewProcess.save(lv, a: 1)
    assert TestBackend.dump("another #{backend}") == %{}
  end

  test "counts what was asked, since the last reset", %{lv: lv, backend: backend} do
    LiveViewProcess.save(lv, a: 1)
    assert %{puts: 1, commits: 1, most_in_flight: 1} = TestBackend.counts(backend)
    TestBackend.reset(backend)
    assert TestBackend.counts(backend) == %{gets: 0, puts: 0, commits: 0, most_in_flight: 0}
  end

  test "fail_puts/2 is survived", %{lv: lv, backend: backend} do
    TestBackend.fail_puts(backend, 3)
    assert LiveViewProcess.save(lv, a: 1) == :ok
    assert %{puts: 4, commits: 1} = TestBackend.counts(backend)
  end

  @tag engine: [shutdown_timeout: 50]
  test "fail_puts/3 asks for time, and gets it", %{lv: lv, backend: backend} do
    TestBackend.fail_puts(backend, 1, retry_after: 600_000)
    LiveViewProcess.stash(lv, a: 1)
    assert eventually(fn -> TestBackend.counts(backend).puts == 1 end)
    assert {:error, %Error{kind: :timeout}} = LiveViewProcess.flush(lv, 50)
    assert %{puts: 1} = TestBackend.counts(backend)
  end

  test "drop_put_answers/2 is resolved by reading", %{lv: lv, backend: backend, engine: engine} do
    observe(engine, [[:durable_stash, :resolved]])
    TestBackend.drop_put_answers(backend, 1)
    assert LiveViewProcess.save(lv, a: 1) == :ok
    assert_receive {:telemetry, [:durable_stash, :resolved], _measurements, %{saved: true}}
    assert %{commits: 1} = TestBackend.counts(backend)
  end

  test "stall_puts/2 holds until release/1", %{lv: lv, backend: backend} do
    TestBackend.stall_puts(backend, 1)
    LiveViewProcess.stash(lv, a: 1)
    assert {:error, %Error{kind: :timeout}} = LiveViewProcess.flush(lv, 10)
    assert TestBackend.dump(backend) == %{}
    TestBackend.release(backend)
    assert LiveViewProcess.flush(lv) == :ok
  end

  test "conflict/3 is a lost race", %{lv: lv, backend: backend, engine: engine} do
    observe(engine, [[:durable_stash, :conflict]])

    for with <- [:moved, :busy] do
      TestBackend.conflict(backend, 1, with)
      assert LiveViewProcess.save(lv, a: with) == :ok
      assert_receive {:telemetry, [:durable_stash, :conflict], %{count: 1}, %{with: ^with}}
    end
  end

  test "latency/2 slows every request", %{lv: lv, backend: backend} do
    TestBackend.latency(backend, 200)

    for request <- [&LiveViewProcess.save(&1, a: 1), &LiveViewProcess.run(&1, fn lv -> LiveStash.recover_state(lv) end)] do
      began = System.monotonic_time(:millisecond)
      request.(lv)
      assert System.monotonic_time(:millisecond) - began >= 200
    end

    TestBackend.latency(backend, 0)
    assert LiveViewProcess.save(lv, a: 2) == :ok
  end

  test "a name is an atom or a string, the same store either way", %{lv: lv, backend: backend} do
    LiveViewProcess.save(lv, a: 1)
    assert TestBackend.dump(to_string(backend)) == TestBackend.dump(backend)
  end
end
