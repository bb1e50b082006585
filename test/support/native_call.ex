defmodule DurableStash.NativeCall do
  @moduledoc """
  Random calls of the NIF's entry points: what each of them takes, arguments that fit, arguments that do not, and what may
  come back. Everything is drawn from the calling process's `:rand`.
  """

  alias DurableStash.AnyTerm
  alias DurableStash.Error

  @u64 18_446_744_073_709_551_615
  @mounts [:dead, :fresh, :rejoin, :again, :late, :late_fresh]

  # What each entry point takes. An entry point that is missing here fails the test.
  @parameters %{
    engine_start: [:options],
    engine_stats: [:engine],
    engine_health: [:engine],
    engine_observe: [:engine, :pid_or_nil],
    engine_drain: [:engine, :u64, :u64],
    engine_forget: [:engine, :text, :secrets_or_nil, :u64],
    session_open: [:engine, :claim],
    session_stash: [:session, :pairs, :pairs, :pairs],
    session_stash_dirty: [:session, :pairs, :pairs, :pairs],
    session_turn: [:session],
    session_reset: [:session],
    session_recover: [:session, :u64],
    session_flush: [:session, :u64],
    session_status: [:session],
    session_epoch: [:session],
    session_watch: [:session, :pid_or_nil, :anything],
    request_cancel: [:request],
    json_encode: [:anything, :u64],
    json_decode: [:binary],
    test_store: [:text],
    test_store_dump: [:store],
    test_store_reset: [:store],
    test_store_latency: [:store, :u64],
    test_store_counts: [:store],
    test_store_script: [:store, :step],
    nif_info: [],
    fault_hook: [:place, :panic]
  }

  @claim %{
    sid: :text,
    secrets: :secrets_or_nil,
    view: :text,
    vsn: :u64,
    tab: :text,
    mount: :mount,
    epoch: :u64_or_nil,
    stores_tab: :boolean,
    minted: :boolean,
    max_value_bytes: :u64
  }

  @options %{
    backend: :backend,
    prefix: :text,
    secrets: :secrets,
    ttl_ms: :u64,
    flush_after_ms: :u64,
    recover_timeout_ms: :u64,
    fresh_for_ms: :u64,
    single_writer: :boolean,
    serve_stale: :boolean,
    max_unsaved_age_ms: :u64,
    max_document_bytes: :u64,
    components_per_module: :u64,
    idle_after_ms: :u64,
    requests_in_flight: :u64,
    max_unsaved_bytes: :u64,
    sweep_every_ms: :u64,
    attempt_timeout_ms: :u64,
    connect_timeout_ms: :u64,
    backoff_base_ms: :u64,
    backoff_cap_ms: :u64,
    worker_threads: :u64
  }

  @doc "Every entry point, with what it takes."
  @spec parameters() :: %{atom() => [atom()]}
  def parameters, do: @parameters

  @doc """
  A value of a kind of parameter that fits it. `held` has the handles to choose from: `%{engine: [...], session: ...}`.
  """
  @spec fitting(atom(), %{atom() => [reference()]}) :: term()
  def fitting(kind, held) when kind in [:engine, :session, :request, :store], do: Enum.random(Map.fetch!(held, kind))
  def fitting(:anything, _held), do: AnyTerm.any()
  def fitting(:u64, _held), do: Enum.random([0, 1, 2, 50, 1_000, :rand.uniform(@u64), @u64, @u64 - 1])
  def fitting(:u64_or_nil, held), do: Enum.random([nil, fitting(:u64, held)])
  def fitting(:boolean, _held), do: Enum.random([true, false])
  def fitting(:mount, _held), do: Enum.random(@mounts)
  def fitting(:binary, _held), do: Enum.random([AnyTerm.text(), AnyTerm.not_utf8(), "[1, {\"a\": null}]"])
  def fitting(:place, _held), do: Enum.random(["", "no entry point", AnyTerm.text()])
  def fitting(:panic, _held), do: :panic
  def fitting(:pid_or_nil, _held), do: Enum.random([nil, self(), spawn(fn -> :gone end)])

  def fitting(:text, _held),
    do: Enum.random([AnyTerm.text(), "", "../../x", "a\0b", String.duplicate("x", 100_000), "sid 1", "sid 2"])

  def fitting(:secrets, _held),
    do: for(_ <- 1..:rand.uniform(3), do: Enum.random([:binary.copy(<<255>>, 32), String.duplicate("s", 1_000)]))

  def fitting(:secrets_or_nil, held), do: Enum.random([nil, fitting(:secrets, held)])

  def fitting(:pairs, _held) do
    for _ <- 1..(:rand.uniform(5) - 1)//1 do
      if :rand.uniform(4) == 1, do: {AnyTerm.text(), AnyTerm.any(), :default}, else: {AnyTerm.text(), AnyTerm.any()}
    end
  end

  def fitting(:claim, held), do: Map.new(@claim, fn {key, kind} -> {key, fitting(kind, held)} end)

  def fitting(:options, held) do
    options = Map.new(@options, fn {key, kind} -> {key, fitting(kind, held)} end)
    Map.put(options, :prefix, Enum.random(["", "a/", "a/b.c/", options.prefix]))
  end

  # No path or host of chance: nothing may be written, or asked, beyond this machine's loopback.
  def fitting(:backend, held) do
    {:memory, fitting(:store, held)}
    |> List.wrap()
    |> Enum.concat([{:disk, "/dev/null/x\0y"}, {:disk, "/dev/null/" <> String.duplicate("x", 10_000)}])
    |> Enum.concat([{:s3, s3(held)}])
    |> Enum.random()
  end

  def fitting(:step, held) do
    Enum.random([
      :release,
      {Enum.random([:drop_answers, :stall_puts, :deny_puts, :omit_etags, :stall_gets, :deny_gets]), count()},
      {Enum.random([:fail_puts, :fail_gets]), count(), fitting(:u64_or_nil, held)},
      {:conflict, count(), Enum.random([:moved, :busy])},
      {:etags, Enum.random([:counter, :content])},
      {:plant, fitting(:text, held), fitting(:binary, held)},
      {:uproot, fitting(:text, held)},
      {:touch, fitting(:text, held), fitting(:u64, held)}
    ])
  end

  @doc "A value that does not fit a kind of parameter: of another type, a handle of another kind, or broken inside."
  @spec misfit(atom(), %{atom() => [reference()]}) :: term()
  def misfit(kind, held) do
    term =
      Enum.random([fn -> broken(kind, held) end, fn -> foreign(held) end, &AnyTerm.scalar/0, &AnyTerm.unstorable/0]).()

    if fits?(kind, term, held), do: misfit(kind, held), else: term
  end

  @doc "Whether a misfit of this kind exists."
  @spec misfits?(atom()) :: boolean()
  def misfits?(kind), do: kind != :anything

  @doc "Whether a result of an entry point is one that its documentation names, for arguments that fit."
  @spec documented?(atom(), term()) :: boolean()
  def documented?(entry, {:error, {kind, message}}) when entry not in [:test_store, :nif_info],
    do: kind in Error.kinds() and is_binary(message)

  def documented?(entry, {:ok, handle})
      when entry in [
             :engine_start,
             :session_open,
             :engine_drain,
             :engine_forget,
             :session_recover,
             :session_flush,
             :test_store
           ],
      do: is_reference(handle)

  def documented?(:engine_stats, stats), do: Enum.all?(stats, fn {key, n} -> is_atom(key) and n in 0..@u64 end)

  def documented?(:engine_health, {state, reason}),
    do: state in [:probing, :ready, :degraded, :refusing] and (is_nil(reason) or is_binary(reason))

  def documented?(:session_stash, :large), do: true

  def documented?(entry, {:ok, op, refused}) when entry in [:session_stash, :session_stash_dirty],
    do:
      op in 0..@u64 and
        Enum.all?(refused, fn {key, kind, why} -> is_binary(key) and kind in Error.kinds() and is_binary(why) end)

  def documented?(:session_turn, {turn, seen}), do: turn in 0..@u64 and seen in 0..@u64
  def documented?(:session_reset, {:ok, op}), do: op in 1..@u64
  def documented?(:session_flush, :saved), do: true

  def documented?(:session_status, {accepted, saved, failures, reset, leans_for, superseded?, down?}) do
    accepted >= saved and failures >= 0 and reset in [:saved, :open, :failed] and
      (leans_for == nil or leans_for in 0..@u64) and is_boolean(superseded?) and
      is_boolean(down?)
  end

  def documented?(:session_epoch, epoch), do: epoch == nil or epoch in 0..@u64
  def documented?(:request_cancel, cancelled?), do: is_boolean(cancelled?)
  def documented?(:json_encode, {:ok, text}), do: String.valid?(text)
  def documented?(:json_decode, {:ok, _term}), do: true

  def documented?(:test_store_dump, dump),
    do: Enum.all?(dump, fn {name, body} -> is_binary(name) and is_binary(body) end)

  def documented?(:test_store_counts, counts), do: map_size(counts) == 4
  def documented?(:nif_info, info), do: Enum.sort(Map.keys(info)) == [:fault_hooks, :version]

  def documented?(entry, :ok),
    do:
      entry in [
        :engine_observe,
        :session_watch,
        :test_store_reset,
        :test_store_latency,
        :test_store_script,
        :fault_hook
      ]

  def documented?(_entry, _result), do: false

  # -- What does not fit --------------------------------------------------------------------------------------------------

  # References that this library did not make, and handles of the other kinds.
  defp foreign(held) do
    Enum.random([
      make_ref(),
      :ets.new(:foreign, []),
      :atomics.new(1, []),
      :counters.new(1, []),
      :erlang.alias(),
      elem(:re.compile("a") |> elem(1), 4),
      :zlib.open(),
      Enum.random(List.flatten(Map.values(held)))
    ])
  end

  defp broken(:u64, _held),
    do: Enum.random([-1, -AnyTerm.integer(), @u64 + 1, AnyTerm.integer(), 1.0, Integer.pow(2, 4_000)])

  defp broken(:u64_or_nil, held), do: broken(:u64, held)

  defp broken(kind, _held) when kind in [:text, :binary, :place],
    do: Enum.random([AnyTerm.not_utf8(), ~c"charlist", :atom, <<1::7>>])

  defp broken(:boolean, _held), do: Enum.random([nil, 0, 1, "true", :TRUE])
  defp broken(:mount, _held), do: Enum.random([nil, "fresh", :other])
  defp broken(:panic, _held), do: Enum.random([nil, "panic", :abort])
  defp broken(:pid_or_nil, _held), do: Enum.random([AnyTerm.foreign_pid(), false, :undefined, DurableStash.Supervisor])
  defp broken(:claim, held), do: broken_map(:claim, @claim, held)
  # The one option that sessions bring along.
  defp broken(:options, held), do: broken_map(:options, @options, held)

  defp broken(:backend, held),
    do: Enum.random([{:memory, foreign(held)}, {:disk, AnyTerm.not_utf8()}, {:ftp, "x"}, {:s3, []}, {:memory}])

  defp broken(kind, held) when kind in [:secrets, :secrets_or_nil] do
    broken_list(fitting(:secrets, held), [:not_a_binary, <<1::300>>, nil, ~c"of 32 characters, but of no bytes"])
  end

  defp broken(:pairs, held) do
    broken_list(fitting(:pairs, held), [
      {:atom, 1},
      {"key"},
      {"key", 1, 2},
      {AnyTerm.not_utf8(), 1},
      ["key", 1],
      nil,
      {}
    ])
  end

  defp broken(:step, held) do
    Enum.random([
      :go,
      {:stall_puts, -1},
      {:stall_puts, 4_294_967_296},
      {:conflict, 1, :lost},
      {:etags, :none},
      {:plant, AnyTerm.not_utf8(), "body"},
      {:plant, "name", :body},
      {:touch, "name", -1},
      {:fail_puts, 1, misfit(:u64_or_nil, held)},
      {:unknown, 1},
      {}
    ])
  end

  defp broken(_handle, held), do: foreign(held)

  defp broken_map(kind, kinds, held) do
    {key, of} = Enum.random(kinds)
    map = fitting(kind, held)

    case :rand.uniform(4) do
      1 -> Map.delete(map, key)
      2 -> Map.to_list(map)
      _ -> Map.put(map, key, misfit(of, held))
    end
  end

  defp broken_list(list, wrong) do
    case :rand.uniform(3) do
      1 -> List.foldr(list, Enum.random([:tail, "tail", 1, %{}]), &[&1 | &2])
      2 -> Map.new(Enum.with_index(list))
      3 -> List.insert_at(list, :rand.uniform(6), Enum.random(wrong))
    end
  end

  # -- What fits --------------------------------------------------------------------------------------------------------

  defp fits?(kind, term, held) when kind in [:engine, :session, :request, :store], do: term in Map.fetch!(held, kind)
  defp fits?(:anything, _term, _held), do: true
  defp fits?(:u64, term, _held), do: is_integer(term) and term in 0..@u64
  defp fits?(:u64_or_nil, term, held), do: is_nil(term) or fits?(:u64, term, held)
  defp fits?(:boolean, term, _held), do: is_boolean(term)
  defp fits?(:mount, term, _held), do: term in @mounts
  defp fits?(:binary, term, _held), do: is_binary(term)
  defp fits?(kind, term, _held) when kind in [:text, :place], do: is_binary(term) and String.valid?(term)
  defp fits?(:panic, term, _held), do: term == :panic
  defp fits?(:pid_or_nil, term, _held), do: is_nil(term) or (is_pid(term) and node(term) == node())
  defp fits?(:secrets, term, _held), do: is_list(term) and proper?(term) and Enum.all?(term, &is_binary/1)
  defp fits?(:secrets_or_nil, term, held), do: is_nil(term) or fits?(:secrets, term, held)

  defp fits?(:pairs, term, held),
    do:
      is_list(term) and proper?(term) and Enum.all?(term, &(match?({_, _}, &1) or match?({_, _, :default}, &1))) and
        Enum.all?(term, &fits?(:text, elem(&1, 0), held))

  defp fits?(:claim, term, held), do: map_fits?(@claim, term, held)
  defp fits?(:options, term, held), do: map_fits?(@options, term, held)
  defp fits?(:backend, {:memory, store}, held), do: fits?(:store, store, held)
  defp fits?(:backend, {:disk, path}, held), do: fits?(:text, path, held)
  defp fits?(:backend, {:s3, map}, _held), do: is_map(map)
  defp fits?(:backend, _term, _held), do: false
  # The generator of what does not fit makes no step that does.
  defp fits?(:step, term, _held), do: term == :release

  defp map_fits?(kinds, term, held) do
    is_map(term) and
      Enum.all?(kinds, fn {key, kind} -> is_map_key(term, key) and fits?(kind, Map.get(term, key), held) end)
  end

  defp proper?(list), do: not List.improper?(list)

  defp s3(held) do
    %{
      bucket: Enum.random(["bucket", "", fitting(:text, held)]),
      region: Enum.random([nil, "auto", fitting(:text, held)]),
      endpoint: Enum.random(["http://127.0.0.1:1", "https://127.0.0.1:1", "http://", "127.0.0.1", "", "http://[::1"]),
      access_key_id: Enum.random([nil, fitting(:text, held)]),
      secret_access_key: Enum.random([nil, fitting(:text, held)]),
      session_token: Enum.random([nil, fitting(:text, held)]),
      allow_http: fitting(:boolean, held),
      virtual_hosted: false
    }
  end

  defp count, do: Enum.random([0, 1, 2, 3, 4_294_967_295])
end
