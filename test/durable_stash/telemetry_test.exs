defmodule DurableStash.TelemetryTest do
  use DurableStash.Case, async: true

  import ExUnit.CaptureLog

  @spans for operation <- [:stash, :reset, :recover, :flush],
             edge <- [:start, :stop],
             do: [:durable_stash, operation, edge]

  setup %{engine: engine} do
    view =
      view(engine, [stored_keys: [:count, draft: :reconnect]], assigns: [count: 0, draft: ""])

    %{view: view, page: Page.open(Page.session("the session id"))}
  end

  test "a LiveView's operations are spans with the view, its vsn, the mount and the engine",
       context do
    %{engine: engine, view: view, page: page} = context
    observe(engine, @spans)
    common = %{view: DurableStash.SomeLive, vsn: 1, engine: engine}

    {lv, page} = Page.mount(page, view)
    assert_received {:telemetry, [:durable_stash, :recover, :start], %{system_time: _}, metadata}
    assert common == Map.take(metadata, [:view, :vsn, :engine])

    assert_received {:telemetry, [:durable_stash, :recover, :stop], %{duration: _, keys: 0},
                     %{result: :not_found, mount: :fresh}}

    LiveViewProcess.save(lv, count: 1)

    assert_received {:telemetry, [:durable_stash, :stash, :stop], %{duration: _, keys: 2, refused: 0}, metadata}

    assert %{result: :accepted, mount: :fresh} = metadata

    assert_received {:telemetry, [:durable_stash, :flush, :stop], %{duration: _}, %{result: :saved}}

    LiveViewProcess.reset(lv)

    assert_received {:telemetry, [:durable_stash, :reset, :stop], %{duration: _}, %{result: :accepted}}

    LiveViewProcess.stash(lv, count: 2)
    {_lv, _page} = Page.mount(page, view)
    assert_received {:telemetry, [:durable_stash, :recover, :stop], %{keys: 2}, metadata}
    assert %{result: :recovered, mount: :rejoin, stale?: false, from: nil} = metadata
  end

  test "an error has its kind, and is logged once a minute per view and cause", %{engine: engine} do
    observe(engine, @spans)
    view = view(engine, [stored_keys: [:count]], assigns: [count: 0], view: __MODULE__.LoggedLive)

    log =
      capture_log(fn ->
        for _visitor <- 1..20, do: Page.mount(Page.open(%{}), view)
      end)

    assert_received {:telemetry, [:durable_stash, :recover, :stop], _,
                     %{result: :error, kind: :refused, error: %Error{}}}

    assert [_before, _after] = String.split(log, "LoggedLive could not recover: ")
    assert log =~ "ensure_session_id"
  end

  @tag engine: [max_document_bytes: 1_000]
  test "writes that failed are told when the LiveView notices, and logged once a minute", %{engine: engine} do
    observe(engine, [[:durable_stash, :unsaved]])
    view = view(engine, [stored_keys: [:a, :b]], assigns: [a: "", b: ""], view: __MODULE__.UnsavedLive)

    log =
      capture_log(fn ->
        for _visitor <- 1..3 do
          {lv, _page} = Page.mount(Page.open(Page.session()), view)
          LiveViewProcess.save(lv, a: String.duplicate("a", 600))
          LiveViewProcess.stash(lv, b: String.duplicate("b", 600))
          assert {:error, %Error{kind: :too_large}} = LiveViewProcess.flush(lv)
          assert LiveViewProcess.save(lv, b: "small") == :ok
        end
      end)

    assert_received {:telemetry, [:durable_stash, :unsaved], %{count: 1},
                     %{view: __MODULE__.UnsavedLive, mount: :fresh}}

    assert [_before, _after] = String.split(log, "UnsavedLive failed and are not saved")
  end

  test "keys of maps that are no identifiers are in neither logs nor events", %{engine: engine, page: page} do
    observe(engine, @spans ++ [[:durable_stash, :refused_value]])
    view = view(engine, [stored_keys: [:cards]], assigns: [cards: nil], view: __MODULE__.KeysLive)

    log =
      capture_log(fn ->
        {lv, _page} = Page.mount(page, view)

        for cards <- [
              %{"4111 1111" => %{at: {1}}},
              %{"a\n\"4111 1111" => {1}},
              %{:"4111" => 1, "4111" => 2}
            ] do
          LiveViewProcess.stash(lv, cards: cards)
          LiveViewProcess.flush(lv)
        end
      end)

    assert log =~ "cards[…].at: a tuple is not JSON-safe"
    seen = inspect([received(), log], limit: :infinity, printable_limit: :infinity)
    refute seen =~ "4111 1111"
    refute log =~ ~S( "4111")
  end

  test "the engine tells of commits", %{engine: engine, view: view, page: page} do
    observe(engine, [[:durable_stash, :commit]])
    {lv, _page} = Page.mount(page, view)
    LiveViewProcess.save(lv, count: 1)
    assert_receive {:telemetry, [:durable_stash, :commit], measurements, metadata}
    assert %{ops: 1, attempts: 1, bytes: bytes, age_ms: _} = measurements
    assert bytes > 0
    assert %{rev: 1, session: <<_eight_hex_digits::binary-size(8)>>, engine: ^engine} = metadata
  end

  test "the engine tells of superseded tabs", %{engine: engine, view: view, page: page} do
    observe(engine, [[:durable_stash, :superseded]])
    {lv, page} = Page.mount(page, view)
    LiveViewProcess.save(lv, count: 1)
    Page.mount(page, view)
    assert_receive {:telemetry, [:durable_stash, :superseded], %{count: 1}, %{engine: ^engine}}
  end

  test "a handler that fails is no LiveView's end", %{engine: engine, view: view, page: page} do
    id = make_ref()

    fail = fn _event, _measurements, metadata, _config ->
      if metadata[:engine] == engine, do: raise("no")
    end

    capture_log(fn ->
      :telemetry.attach_many(id, @spans ++ [[:durable_stash, :commit]], fail, nil)
      {lv, _page} = Page.mount(page, view)
      assert LiveViewProcess.save(lv, count: 1) == :ok
    end)
  end

  test "every event is documented" do
    {:docs_v1, _, _, _, %{"en" => moduledoc}, _, _} = Code.fetch_docs(DurableStash.Telemetry)
    atoms = File.read!("native/durable_stash_nif/src/events.rs")

    for [_all, name] <- Regex.scan(~r/Event::(?:new|once)\(atoms::(\w+)\(\)\)/, atoms) do
      assert moduledoc =~ "`[:durable_stash, :#{name}]`"
    end
  end

  test "fault_68, fault_72: neither events nor logs hold the session's id, the tab or a value", context do
    %{engine: engine, view: view, page: page, backend: backend} = context
    names = ~w(commit conflict retry superseded health refused_value)a
    observe(engine, @spans ++ Enum.map(names, &[:durable_stash, &1]))

    log =
      capture_log(fn ->
        {lv, page} = Page.mount(page, view)
        TestBackend.conflict(backend, 1)
        LiveViewProcess.save(lv, count: "the secret value", draft: "the secret draft")
        LiveViewProcess.stash(lv, count: {"the secret value"})
        {_lv, _page} = Page.mount(page, view)
        LiveViewProcess.stash(lv, draft: "the secret draft of a zombie")
      end)

    seen = inspect([received(), log], limit: :infinity, printable_limit: :infinity)
    assert seen =~ ":refused_value"
    for hidden <- ["the session id", "the secret", page.id, secret()], do: refute(seen =~ hidden)
  end

  defp received do
    receive do
      {:telemetry, _event, _measurements, _metadata} = event -> [event | received()]
    after
      0 -> []
    end
  end
end
