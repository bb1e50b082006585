defmodule DurableStash.Native.ArgumentsTest do
  # Every entry point of the NIF under arguments of any type. The list of entry points is the module's own, so that a new
  # one without a case fails here.
  use DurableStash.Case, async: true

  alias DurableStash.AnyTerm
  alias DurableStash.Native
  alias DurableStash.NativeCall
  alias DurableStash.Seeds

  @moduletag engine: false

  @calls 150
  @patience 10_000
  @secret String.duplicate("s", 32)

  test "every entry point has its case, with as many parameters as it takes" do
    exported = for {name, arity} <- Native.__info__(:functions), name != :rustler_init, do: {name, arity}
    assert Enum.sort(exported) == Enum.sort(for {name, kinds} <- NativeCall.parameters(), do: {name, length(kinds)})
  end

  test "any arguments raise an ArgumentError or have a documented result, and harm nobody", context do
    bystander = start("bystander of #{context.test}")

    Seeds.each(40, "argument_rounds", fn seed ->
      held = handles("store #{seed} of #{context.test}")
      for _ <- 1..@calls, do: call(held)
      still_serves(bystander, seed)
      assert %{crashed: 0} = Native.engine_stats(hd(held.engine))
      discard(held)
    end)
  end

  test "an engine of any options starts and serves, or says in words why not", context do
    Seeds.each(100, "engines", fn seed ->
      {:ok, store} = Native.test_store("store #{seed} of #{context.test}")
      options = NativeCall.fitting(:options, %{store: [store]})

      case Native.engine_start(options) do
        {:error, {:refused, message}} ->
          assert message =~
                   ~r/secret|prefix|requests_in_flight|timeout|max_document_bytes|ttl|path|directory|bucket|endpoint/

        {:ok, engine} ->
          for n <- 1..3, do: serve(engine, n)
          # A driver that panics is counted, and its session is lost.
          {:ok, _request} = Native.engine_drain(engine, 20, 4)
          assert_receive {:durable_stash, 4, {:ok, _report}}, @patience
          assert %{crashed: 0} = Native.engine_stats(engine)
      end

      Native.test_store_reset(store)
      forget_messages()
    end)
  end

  defp serve(engine, n) do
    session = open(engine, "sid #{n}")

    assert NativeCall.documented?(
             :session_stash,
             Native.session_stash(session, [{"k", AnyTerm.text()}], [{"t", n}], [{"s", n}])
           )

    {:ok, _request} = Native.session_recover(session, n)
    assert NativeCall.documented?(:session_reset, Native.session_reset(session))
    {:ok, _request} = Native.engine_forget(engine, "sid #{n}", nil, 10 + n)
  end

  defp call(held) do
    {entry, kinds} = Enum.random(NativeCall.parameters())
    # Most of the arguments fit, or none would get far.
    arguments = for kind <- kinds, do: argument(kind, held)
    fit? = Enum.all?(arguments, &match?({:fits, _}, &1))
    arguments = Enum.map(arguments, &elem(&1, 1))
    accepted = accepted(held)

    case attempt(entry, arguments) do
      {:returned, :large} when entry == :session_stash ->
        :ok

      {:returned, result} ->
        assert fit?, "#{entry} took #{inspect(arguments)} and returned #{inspect(result)}"
        assert NativeCall.documented?(entry, result), "#{entry} returned #{inspect(result)}"

      :bad_argument ->
        refute fit?, "#{entry} did not take #{inspect(arguments)}"
        assert accepted(held) == accepted, "#{entry} accepted something of what it refused"
    end
  end

  defp argument(kind, held) do
    if NativeCall.misfits?(kind) and :rand.uniform(5) == 1,
      do: {:misfit, NativeCall.misfit(kind, held)},
      else: {:fits, NativeCall.fitting(kind, held)}
  end

  # Anything else that is raised, a panic above all, fails the test.
  defp attempt(entry, arguments) do
    {:returned, apply(Native, entry, arguments)}
  rescue
    ArgumentError -> :bad_argument
  end

  defp accepted(held), do: for(session <- held.session, do: elem(Native.session_status(session), 0))

  # -- What a call can hold ---------------------------------------------------------------------------------------------

  # An engine that runs and one that is stopped, a session of each, requests that are answered, given up and open.
  defp handles(name) do
    {:ok, store} = Native.test_store(name)
    {engine, stopped} = {start(name), start(name)}
    {session, closed} = {open(engine), open(stopped)}
    {:ok, answered} = Native.session_recover(session, 1)
    assert_receive {:durable_stash, 1, _reply}, @patience
    {:ok, given_up} = Native.session_recover(session, 2)
    Native.request_cancel(given_up)
    {:ok, _request} = Native.engine_drain(stopped, 1_000, 3)
    assert_receive {:durable_stash, 3, {:ok, _report}}, @patience
    %{store: [store], engine: [engine, stopped], session: [session, closed], request: [answered, given_up]}
  end

  defp discard(%{store: [store], engine: engines}) do
    Native.test_store_script(store, :release)
    Native.test_store_reset(store)
    Native.test_store_latency(store, 0)

    for engine <- engines do
      {:ok, _request} = Native.engine_drain(engine, 0, 4)
      assert_receive {:durable_stash, 4, {:ok, _report}}, @patience
    end

    forget_messages()
  end

  # An engine that nothing was asked of but this.
  defp still_serves(engine, seed) do
    session = open(engine, "sid #{seed}")
    value = AnyTerm.text()
    assert {:ok, 1, []} = Native.session_stash_dirty(session, [{"k", value}], [], [])

    with {:ok, _request} <- Native.session_flush(session, 5),
         do: assert_receive({:durable_stash, 5, :ok}, @patience)

    {:ok, _request} = Native.session_recover(session, 6)
    assert_receive {:durable_stash, 6, {:ok, %{session: [{"k", ^value}]}}}, @patience
  end

  defp start(name) do
    {:ok, store} = Native.test_store(name)
    {:ok, engine} = Native.engine_start(options(store))
    engine
  end

  defp open(engine, sid \\ "sid 1") do
    {:ok, session} =
      Native.session_open(engine, %{
        sid: sid,
        secrets: nil,
        view: "Elixir.Some.View",
        vsn: 1,
        tab: "tab",
        mount: :fresh,
        epoch: nil,
        stores_tab: true,
        minted: false,
        max_value_bytes: 1_048_576
      })

    session
  end

  defp options(store) do
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
      max_document_bytes: 4_194_304,
      components_per_module: 100,
      idle_after_ms: 60_000,
      requests_in_flight: 128,
      max_unsaved_bytes: 67_108_864,
      sweep_every_ms: 0,
      attempt_timeout_ms: 5_000,
      connect_timeout_ms: 2_000,
      backoff_base_ms: 1,
      backoff_cap_ms: 100,
      worker_threads: 2
    }
  end

  defp forget_messages do
    receive do
      _message -> forget_messages()
    after
      0 -> :ok
    end
  end
end
