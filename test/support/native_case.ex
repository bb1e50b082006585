defmodule DurableStash.NativeCase do
  @moduledoc """
  Tests of the native library's entry points: each has a store in memory and an engine over it. `@tag options: %{}` gives the engine
  options.
  """

  use ExUnit.CaseTemplate

  alias DurableStash.Native

  @secret String.duplicate("s", 32)
  @megabyte 1_048_576

  # What a caller may have to wait for before something is wrong.
  @patience 5_000

  using do
    quote do
      import DurableStash.NativeCase

      alias DurableStash.Native
    end
  end

  setup context do
    {:ok, store} = Native.test_store(inspect({context.module, context.test}))
    :ok = Native.test_store_reset(store)
    on_exit(fn -> Native.test_store_reset(store) end)
    {:ok, engine} = Native.engine_start(options(store, context))
    on_exit(fn -> drain(engine) end)
    %{store: store, engine: engine}
  end

  # -- Engines and handles ------------------------------------------------------------------------------------------------

  def options(store, context) do
    Map.merge(
      %{
        backend: {:memory, store},
        prefix: "durable_stash/",
        secrets: [@secret],
        ttl_ms: 86_400_000,
        flush_after_ms: 0,
        recover_timeout_ms: 3_000,
        fresh_for_ms: 0,
        single_writer: false,
        serve_stale: true,
        max_unsaved_age_ms: 900_000,
        max_value_bytes: @megabyte,
        max_document_bytes: 4 * @megabyte,
        components_per_module: 100,
        idle_after_ms: 60_000,
        requests_in_flight: 128,
        max_unsaved_bytes: 64 * @megabyte,
        sweep_every_ms: 0,
        attempt_timeout_ms: 5_000,
        connect_timeout_ms: 2_000,
        backoff_base_ms: 1,
        backoff_cap_ms: 100,
        worker_threads: 2
      },
      Map.get(context, :options, %{})
    )
  end

  def claim(options) do
    Map.merge(
      %{
        sid: "sid",
        secrets: nil,
        view: "Elixir.Some.View",
        vsn: 1,
        tab: "tab",
        mount: :fresh,
        epoch: nil,
        stores_tab: true,
        minted: false,
        max_value_bytes: @megabyte
      },
      Map.new(options)
    )
  end

  def open(engine, options \\ []) do
    {:ok, session} = Native.session_open(engine, claim(options))
    session
  end

  def stash(session, pairs) do
    with :large <- Native.session_stash(session, pairs, [], []),
         do: Native.session_stash_dirty(session, pairs, [], [])
  end

  def flush(session) do
    id = id()

    case Native.session_flush(session, id) do
      {:ok, _request} -> reply(id)
      :saved -> :ok
    end
  end

  def recover(session) do
    id = id()
    {:ok, _request} = Native.session_recover(session, id)
    reply(id)
  end

  def forget(engine, sid) do
    id = id()
    {:ok, _request} = Native.engine_forget(engine, sid, nil, id)
    reply(id)
  end

  def drain(engine) do
    id = id()
    {:ok, _request} = Native.engine_drain(engine, 100, id)
    reply(id)
  end

  def reply(id) do
    receive do
      {:durable_stash, ^id, reply} -> reply
    after
      @patience -> flunk("no reply")
    end
  end

  def id, do: System.unique_integer([:positive])

  def messages_until(id) do
    receive do
      {:durable_stash, ^id, _reply} = last -> [last]
      other -> [other | messages_until(id)]
    after
      @patience -> flunk("no reply")
    end
  end

  def saved_ops(tag) do
    receive do
      {:durable_stash_status, ^tag, {:saved, op}} -> [op | saved_ops(tag)]
    after
      100 -> []
    end
  end

  # Arguments that every entry point takes.
  def calls(engine, session, store, request) do
    %{
      engine_start: [options(store, %{})],
      engine_stats: [engine],
      engine_health: [engine],
      engine_observe: [engine, nil],
      engine_drain: [engine, 1, id()],
      engine_forget: [engine, "sid", nil, id()],
      session_open: [engine, claim([])],
      session_stash: [session, [], [], []],
      session_stash_dirty: [session, [], [], []],
      session_turn: [session],
      session_reset: [session],
      session_recover: [session, id()],
      session_flush: [session, id()],
      session_status: [session],
      session_epoch: [session],
      session_watch: [session, nil, 1],
      request_cancel: [request],
      json_encode: [1, 1],
      json_decode: ["1"],
      test_store: ["another"],
      test_store_dump: [store],
      test_store_reset: [store],
      test_store_latency: [store, 0],
      test_store_counts: [store],
      test_store_script: [store, :release],
      nif_info: []
    }
  end

  def assert_bad_argument(entry, arguments) do
    result = apply(Native, entry, arguments)
    flunk("#{entry} took #{inspect(arguments)} and returned #{inspect(result)}")
  rescue
    ArgumentError -> :ok
  end

  # -- Values -------------------------------------------------------------------------------------------------------------

  def same(term) do
    {:ok, text} = Native.json_encode(term, 64 * @megabyte)
    assert Native.json_decode(text) == {:ok, term}
    assert JSON.decode!(text) == term
  end

  def refusal(term) do
    assert {:error, {:invalid_value, message}} = Native.json_encode(term, 64 * @megabyte)
    message
  end

  def nested(depth), do: Enum.reduce(2..depth//1, [], fn _level, inner -> [inner] end)

  # -- Time ---------------------------------------------------------------------------------------------------------------

  def elapsed(function) do
    {microseconds, _result} = :timer.tc(function)
    microseconds
  end

  def spin(0), do: :ok
  def spin(n), do: spin(n - 1)

  def eventually(condition, attempts \\ 250) do
    cond do
      condition.() ->
        true

      attempts > 0 ->
        Process.sleep(20)
        eventually(condition, attempts - 1)

      true ->
        false
    end
  end
end
