defmodule DurableStash.WriteTest do
  use DurableStash.Case, async: true

  import ExUnit.CaptureLog

  # What comes back of a value that was stashed, by another engine: from the store's bytes.
  defp round_trip(%{engine: engine}, value) do
    view = view(engine, stored_keys: [value: :reconnect])
    {lv, page} = Page.mount(Page.open(Page.session()), view)
    assert LiveViewProcess.save(lv, value: value) == :ok
    LiveViewProcess.close(lv)
    restart_engine(engine)
    {lv, _page} = Page.mount(page, view)
    assert LiveViewProcess.recovered(lv) == :recovered
    LiveViewProcess.assigns(lv).value
  end

  # The reason for which a value is refused; the other key is saved.
  defp refusal(%{engine: engine, backend: backend}, value) do
    observe(engine, [[:durable_stash, :refused_value]])
    view = view(engine, stored_keys: [:good, :bad])
    {lv, _page} = Page.mount(Page.open(Page.session()), view)

    capture_log(fn -> LiveViewProcess.stash(lv, good: "kept", bad: value) end)

    assert_received {:telemetry, [:durable_stash, :refused_value], %{count: 1}, %{key: :bad, error: error}}

    assert LiveViewProcess.status(lv) == :unsaved
    assert LiveViewProcess.flush(lv) == {:error, error}

    LiveViewProcess.save(lv, bad: "good again")
    assert LiveViewProcess.status(lv) == :saved
    assert %{"1" => %{"data" => data}} = document(backend).views["Elixir.DurableStash.SomeLive"]
    assert data == %{"good" => "kept", "bad" => "good again"}
    TestBackend.reset(backend)
    {error.kind, error.message}
  end

  describe "values come back as they were" do
    test "fault_61: text, down to the byte", context do
      texts = [
        "",
        "plain",
        <<0>>,
        "\u0000\u001F\"\\/\u2028",
        "😀",
        "e\u0301",
        "é",
        String.duplicate("ü", 10_000)
      ]

      assert round_trip(context, texts) === texts
    end

    test "fault_62: integers of any size", context do
      integers =
        for power <- [0, 1, 31, 32, 53, 62, 63, 64, 128, 4_000],
            sign <- [1, -1],
            off <- [-1, 0, 1] do
          sign * Integer.pow(2, power) + off
        end

      assert round_trip(context, integers) === integers
    end

    test "fault_63: floats, bit by bit", context do
      floats = [
        0.0,
        -0.0,
        0.1,
        1.0,
        -1.5,
        5.0e-324,
        2.2250738585072014e-308,
        1.7976931348623157e308,
        9_007_199_254_740_991.0,
        9_007_199_254_740_993.0,
        1.0e22,
        1.0e23,
        123_456_789.123_456_78
      ]

      assert Enum.map(round_trip(context, floats), &<<&1::float>>) ===
               Enum.map(floats, &<<&1::float>>)
    end

    test "nil, booleans, lists, and maps with text keys", context do
      value = %{"a" => [nil, true, false, [], %{}], "b" => %{"" => [[[]]]}}
      assert round_trip(context, value) === value
    end

    test "atoms and the keys of maps become text", context do
      assert round_trip(context, %{:a => :b, 1 => [:c]}) === %{"a" => "b", "1" => ["c"]}
    end

    test "fault_64: nesting 128 deep", context do
      value = Enum.reduce(1..127, [], fn _, value -> [value] end)
      assert round_trip(context, value) === value
    end

    test "fault_52: of 1 KB, 100 KB and just under the limit", context do
      for size <- [1_000, 100_000, 1_048_576 - 2] do
        value = String.duplicate("x", size)
        assert round_trip(context, value) === value
      end
    end

    test "fault_51: large structures, by way of a dirty scheduler", context do
      value = for n <- 1..20_000, do: %{"n" => n, "text" => "item #{n}"}
      assert round_trip(context, value) === value
    end
  end

  describe "values that are refused, while the other keys are saved" do
    for {case, value, message} <- [
          {"fault_61: text that is not UTF-8", quote(do: <<255>>), ~r/^bad: /},
          {"fault_61: a bitstring", quote(do: <<1::3>>), ~r/^bad: /},
          {"fault_66: a tuple", quote(do: {1, 2}), ~r/^bad: /},
          {"fault_66: a keyword list", quote(do: [a: 1]), ~r/^bad\[0\]: /},
          {"fault_66: an improper list", quote(do: [1 | 2]), ~r/^bad/},
          {"fault_66: a struct", quote(do: ~U[2026-01-01 00:00:00Z]), ~r/^bad: a DateTime is not JSON-safe/},
          {"fault_66: a set", quote(do: MapSet.new([1])), ~r/^bad: a MapSet is not JSON-safe/},
          {"fault_66: an exception", quote(do: %RuntimeError{message: "x"}), ~r/^bad: a RuntimeError is not JSON-safe/},
          {"fault_66: a pid", quote(do: self()), ~r/^bad: /},
          {"fault_66: a reference", quote(do: make_ref()), ~r/^bad: /},
          {"fault_66: a port", quote(do: hd(Port.list())), ~r/^bad: /},
          {"fault_66: a function", quote(do: fn -> 1 end), ~r/^bad: /},
          {"fault_66: a pid deep inside", quote(do: %{items: [1, 2, %{at: self()}]}), ~r/^bad\.items\[2\]\.at: /},
          {"fault_65: keys that are one as text", quote(do: %{:a => 1, "a" => 2}), ~r/^bad/},
          {"fault_65: an integer key and its text", quote(do: %{1 => 1, "1" => 2}), ~r/^bad/},
          {"fault_66: a key that is no text", quote(do: %{{1, 2} => 1}), ~r/^bad/},
          {"fault_64: nesting past 128", quote(do: Enum.reduce(1..128, [], fn _, v -> [v] end)), ~r/128/},
          {"fault_64: nesting of 10^4", quote(do: Enum.reduce(1..10_000, [], fn _, v -> [v] end)), ~r/128/},
          {"fault_64: nesting of 10^6", quote(do: Enum.reduce(1..1_000_000, %{}, fn _, v -> %{"a" => v} end)), ~r/128/}
        ] do
      test case, context do
        assert {:invalid_value, message} = refusal(context, unquote(value))
        assert message =~ unquote(Macro.escape(message))
      end
    end

    test "fault_52: one over max_value_bytes, with the limit named", context do
      assert {:too_large, message} = refusal(context, String.duplicate("x", 1_048_576))
      assert message =~ "1048576"
    end

    test "the value is not in the message", context do
      {:invalid_value, message} = refusal(context, %{"card" => {"4111 1111"}})
      refute message =~ "4111"
    end
  end

  test "one refused value is refused once, not with every stash", %{engine: engine} do
    observe(engine, [[:durable_stash, :refused_value], [:durable_stash, :stash, :stop]])
    {lv, _page} = Page.mount(Page.open(Page.session()), view(engine, stored_keys: [:good, :bad]))
    capture_log(fn -> LiveViewProcess.stash(lv, good: 1, bad: self()) end)
    assert_received {:telemetry, [:durable_stash, :refused_value], _, _}

    assert_received {:telemetry, [:durable_stash, :stash, :stop], %{keys: 1, refused: 1}, %{result: :accepted}}

    LiveViewProcess.stash(lv, good: 2)
    refute_received {:telemetry, [:durable_stash, :refused_value], _, _}

    assert_received {:telemetry, [:durable_stash, :stash, :stop], %{keys: 1, refused: 0}, %{result: :accepted}}
  end

  @tag engine: [on_invalid_value: :raise]
  test "on_invalid_value: :raise raises with the path", %{engine: engine} do
    {lv, _page} = Page.mount(Page.open(Page.session()), view(engine, stored_keys: [:settings]))

    {error, _log} =
      with_log(fn ->
        LiveViewProcess.run(lv, fn socket ->
          socket =
            Phoenix.Component.assign(socket,
              settings: %{items: [%{at: ~U[2026-01-01 00:00:00Z]}]}
            )

          {catch_error(LiveStash.stash(socket)), socket}
        end)
      end)

    assert %ArgumentError{message: message} = error
    assert message =~ "settings.items[0].at: a DateTime is not JSON-safe"
    assert message =~ "DurableStash.SomeLive cannot stash the assign :settings"
  end

  test "a stash sends what changed, and nothing when nothing did", %{
    engine: engine,
    backend: backend
  } do
    observe(engine, [[:durable_stash, :stash, :stop]])

    {lv, _page} =
      Page.mount(Page.open(Page.session()), view(engine, stored_keys: [:a, :b, c: :reconnect]))

    LiveViewProcess.save(lv, a: 1, b: %{x: 1}, c: [1])
    assert_received {:telemetry, [:durable_stash, :stash, :stop], %{keys: 3}, _}

    LiveViewProcess.save(lv, a: 2, b: %{x: 1}, c: [1])
    assert_received {:telemetry, [:durable_stash, :stash, :stop], %{keys: 1}, _}

    LiveViewProcess.save(lv, a: 2)
    LiveViewProcess.save(lv, [])
    refute_received {:telemetry, [:durable_stash, :stash, :stop], _, _}
    assert %{commits: 2} = TestBackend.counts(backend)
  end

  test "what was recovered is not sent again while it does not change", %{engine: engine} do
    view = view(engine, [stored_keys: [:a, :b]], assigns: [a: 1, b: 1])
    {lv, page} = Page.mount(Page.open(Page.session()), view)
    LiveViewProcess.save(lv, a: 2)
    observe(engine, [[:durable_stash, :stash, :stop]])
    {lv, _page} = Page.mount(page, view)
    LiveViewProcess.save(lv, [])
    refute_received {:telemetry, [:durable_stash, :stash, :stop], _, _}

    LiveViewProcess.save(lv, b: 2)
    assert_received {:telemetry, [:durable_stash, :stash, :stop], %{keys: 1}, _}
  end

  @tag engine: [max_unsaved_bytes: 100_000]
  test "a reset that was not taken is followed by everything, also where nothing has changed since", context do
    %{engine: engine, backend: backend} = context
    {lv, page} = Page.mount(Page.open(Page.session()), view(engine, stored_keys: [:a, :b]))
    LiveViewProcess.save(lv, a: 1, b: 2)

    {other, _page} = Page.mount(Page.open(Page.session()), view(engine, stored_keys: [:a]))
    TestBackend.stall_puts(backend, 1)
    LiveViewProcess.stash(other, a: String.duplicate("1", 99_990))
    capture_log(fn -> LiveViewProcess.reset(lv) end)
    assert LiveViewProcess.status(lv) == :unsaved
    TestBackend.release(backend)
    assert LiveViewProcess.flush(other) == :ok

    LiveViewProcess.stash(lv)
    assert LiveViewProcess.flush(lv) == :ok
    {lv, _page} = Page.mount(page, view(engine, stored_keys: [:a, :b]))
    assert %{a: 1, b: 2} = LiveViewProcess.assigns(lv)
  end

  @tag engine: [max_unsaved_bytes: 100_000]
  test "fault_53: what is over the byte limit is refused, kept, and sent with the next stash",
       context do
    %{engine: engine, backend: backend} = context
    view = view(engine, stored_keys: [:a, :b])
    {lv, page} = Page.mount(Page.open(Page.session()), view)
    TestBackend.stall_puts(backend, 1)
    LiveViewProcess.stash(lv, a: String.duplicate("1", 60_000))

    capture_log(fn -> LiveViewProcess.stash(lv, b: String.duplicate("2", 60_000)) end)
    assert LiveViewProcess.status(lv) == :unsaved
    assert {:error, %Error{kind: :overloaded}} = LiveViewProcess.flush(lv)

    TestBackend.release(backend)

    assert eventually(fn ->
             {:ok, %{unsaved_bytes: bytes}} = Engine.stats(engine)
             bytes == 0
           end)

    newest = String.duplicate("3", 60_000)
    assert LiveViewProcess.save(lv, b: newest) == :ok
    assert LiveViewProcess.status(lv) == :saved

    {lv, _page} = Page.mount(page, view)
    assert %{a: "1" <> _, b: ^newest} = LiveViewProcess.assigns(lv)
  end

  @tag engine: [max_document_bytes: 10_000]
  test "fault_53: a document that grows too large fails, and fits again when it shrinks",
       context do
    %{engine: engine} = context
    view = view(engine, stored_keys: [:a])
    {lv, page} = Page.mount(Page.open(Page.session()), view)

    capture_log(fn ->
      LiveViewProcess.stash(lv, a: String.duplicate("x", 20_000))
      assert {:error, %Error{kind: :too_large}} = LiveViewProcess.flush(lv)
    end)

    assert LiveViewProcess.status(lv) == :unsaved
    assert LiveViewProcess.save(lv, a: "small") == :ok
    {lv, _page} = Page.mount(page, view)
    assert %{a: "small"} = LiveViewProcess.assigns(lv)
  end
end
