defmodule DurableStash.HostileDocumentTest do
  # Documents that are sound to the last bit of their checksum, and say what this library would not.
  use DurableStash.Case, async: true

  alias DurableStash.Native
  alias DurableStash.Sealed

  setup %{engine: engine, backend: backend} do
    {lv, page} = Page.mount(Page.open(Page.session()), view(engine))
    LiveViewProcess.save(lv, count: 1, theme: "dark")
    LiveViewProcess.close(lv)
    {:ok, store} = Native.test_store(to_string(backend))
    [{name, object}] = Native.test_store_dump(store)
    %{page: page, store: store, name: name, object: object}
  end

  test "fault_67: a million keys that no code declares make no atoms, and are kept", context do
    body = body(for n <- 1..1_000_000, do: [~s(,"never an atom #{n}":), "[]"])
    plant(context, body, max_document_bytes: 100_000_000)
    before = :erlang.system_info(:atom_count)

    {lv, _page} = Page.mount(context.page, view(context.engine))
    assert LiveViewProcess.recovered(lv) == :recovered
    assert %{count: 1, theme: "dark"} = assigns = LiveViewProcess.assigns(lv)
    assert map_size(assigns) < 10
    LiveViewProcess.save(lv, count: 2)

    # Other tests make some meanwhile.
    assert :erlang.system_info(:atom_count) - before < 50_000

    for n <- [1, 500_000, 1_000_000],
        do: assert_raise(ArgumentError, fn -> String.to_existing_atom("never an atom #{n}") end)

    [{_name, object}] = Native.test_store_dump(context.store)
    assert byte_size(object) > byte_size(body)
    assert object =~ ~s("never an atom 1000000":[])
  end

  test "fault_67: a key that a later release no longer declares is kept for the one that does", context do
    %{engine: engine, page: page} = context
    restart_engine(engine)
    {lv, page} = Page.mount(page, view(engine, [stored_keys: [:count]], assigns: [count: 0]))
    assert LiveViewProcess.recovered(lv) == :recovered
    refute Map.has_key?(LiveViewProcess.assigns(lv), :theme)
    LiveViewProcess.save(lv, count: 5)
    LiveViewProcess.close(lv)

    {rolled_back, _page} = Page.mount(page, view(engine))
    assert %{count: 5, theme: "dark"} = LiveViewProcess.assigns(rolled_back)
  end

  for {case, value} <- [
        {"fault_61: half a surrogate pair", ~S("\ud800")},
        {"fault_62: an integer that the VM cannot hold", quote(do: String.duplicate("9", 3_000_000))},
        {"fault_63: a float beyond every float", "1e999"},
        {"fault_64: nesting of 10^6", quote(do: String.duplicate("[", 1_000_000) <> String.duplicate("]", 1_000_000))},
        {"fault_65: the same key twice", ~S({"a":1,"\u0061":2})}
      ] do
    test "#{case} in the store is an error and no crash, and the next write replaces it", context do
      %{engine: engine, page: page} = context
      plant(context, body([",\"theme\":", unquote(value)]), max_document_bytes: 10_000_000)

      observe(engine, [[:durable_stash, :recover, :stop]])
      {lv, page} = Page.mount(page, view(engine))
      assert LiveViewProcess.recovered(lv) == :error
      assert_received {:telemetry, _event, _measurements, %{result: :error, kind: :corrupt, error: error}}
      assert error.message =~ ~r/\Atheme: the stored JSON is corrupt at byte \d+: [a-z ]+\z/i

      # What is assigned at mount is all there is now, and it can be saved.
      LiveViewProcess.save(lv, count: 2, theme: "light")
      LiveViewProcess.close(lv)
      {lv, _page} = Page.mount(page, view(engine))
      assert LiveViewProcess.recovered(lv) == :recovered
      assert %{count: 2, theme: "light"} = LiveViewProcess.assigns(lv)
    end
  end

  defp view(engine), do: view(engine, [stored_keys: [:count, :theme]], assigns: [count: 0, theme: "none"])

  # The document's body with more behind the key `count`.
  defp body(more) do
    keys = if List.first(more) == ",\"theme\":", do: ~s("count":1), else: ~s("count":1,"theme":"dark")

    IO.iodata_to_binary([
      ~s({"views":{"Elixir.DurableStash.SomeLive":{"1":{"touched_at":#{System.system_time(:millisecond)},"data":{#{keys}),
      more,
      ~s(},"tabs":{}}}}})
    ])
  end

  defp plant(%{engine: engine, store: store, name: name, object: object}, body, options) do
    restart_engine(engine, options)
    :ok = Native.test_store_script(store, {:plant, name, Sealed.with_body(object, body)})
  end
end
