defmodule DurableStash.Native.ValuesTest do
  # Properties of the walk from terms to JSON and back, over any term that Erlang can build. `DurableStash.Seeds` says how
  # a failure is replayed, and how more are run.
  use DurableStash.Case, async: true

  alias DurableStash.AnyTerm
  alias DurableStash.Culprit
  alias DurableStash.Native
  alias DurableStash.Seeds
  alias DurableStash.Session
  alias DurableStash.Storable

  @unlimited 1_000_000_000

  describe "any term" do
    @describetag engine: false

    test "fault_61, fault_62, fault_63, fault_64, fault_65, fault_66: comes back equal, or is refused with the path to a culprit that is there" do
      4_000
      |> verdicts("terms", fn -> check(AnyTerm.any()) end)
      |> assert_all_met([:stored, :refused])
    end

    test "fault_52: fits into as many bytes as its text has, and into no fewer" do
      1_000
      |> verdicts("limits", fn ->
        term = AnyTerm.any()

        with {:ok, text} <- Native.json_encode(term, @unlimited) do
          size = byte_size(text)
          less = Enum.random([1, :rand.uniform(size)])
          assert Native.json_encode(term, size) == {:ok, text}
          assert Native.json_encode(term, size + less) == {:ok, text}
          assert {:error, {:too_large, message}} = Native.json_encode(term, size - less)
          assert message == "value: larger than the #{size - less} bytes of JSON that max_value_bytes allows"
          :stored
        else
          # Whichever fault the walk meets first.
          {:error, {:invalid_value, _message}} ->
            assert {:error, {kind, _message}} = Native.json_encode(term, :rand.uniform(1_000))
            assert kind in [:invalid_value, :too_large]
            :refused
        end
      end)
      |> assert_all_met([:stored, :refused])
    end

    test "has text that another parser reads as the same" do
      1_000
      |> verdicts("parsed_elsewhere", fn ->
        term = AnyTerm.any()

        with {:ok, text} <- Native.json_encode(term, @unlimited) do
          assert {:ok, JSON.decode!(text)} === Storable.stored(term)
          :stored
        else
          {:error, _refusal} -> :refused
        end
      end)
      |> assert_all_met([:stored])
    end
  end

  describe "a stash of any terms, under any names" do
    @describetag engine: [max_value_bytes: 1_000_000, max_document_bytes: 1_000_000_000, idle_after: 500]

    test "fault_61, fault_62, fault_63, fault_64, fault_65, fault_66: saves what can be stored and names the rest, on normal and dirty schedulers alike",
         %{engine: engine, backend: backend} do
      100
      |> verdicts("stashes", fn ->
        pairs = pairs()
        kept = for {name, term} <- pairs, {:ok, stored} <- [Storable.stored(term)], into: %{}, do: {name, stored}
        sid = "sid #{:rand.uniform(1_000_000_000)}"
        session = open(engine, sid)

        assert {:ok, op, refused} = Session.stash(session, pairs, [])
        assert op == if(kept == %{}, do: 0, else: 1)
        assert Enum.sort(Enum.map(refused, &elem(&1, 0))) == Enum.sort(Map.keys(Map.new(pairs)) -- Map.keys(kept))

        for {name, kind, message} <- refused do
          assert kind == :invalid_value
          assert Culprit.there?(message, Culprit.name(name), Map.new(pairs)[name]), message
        end

        assert Session.flush(session, 60_000) == :ok
        assert Map.new(found(Session.recover(session))) === kept

        successor = open(engine, sid)
        assert {:ok, _op, ^refused} = Native.session_stash_dirty(successor.resource, pairs, [], [])
        assert Session.flush(successor, 60_000) == :ok
        assert Map.new(found(Session.recover(successor))) === kept
        # A long run would fill the memory.
        TestBackend.reset(backend)
        if refused == [], do: :stored, else: :refused
      end)
      |> assert_all_met([:stored, :refused])
    end

    defp pairs do
      1..:rand.uniform(12) |> Map.new(fn _ -> {AnyTerm.text(), AnyTerm.any()} end) |> Map.to_list() |> Enum.shuffle()
    end

    defp open(engine, sid) do
      {:ok, session} =
        Session.open(engine, %{
          sid: sid,
          secrets: nil,
          view: "Elixir.Some.View",
          vsn: 1,
          tab: "tab",
          mount: :fresh,
          epoch: nil,
          stores_tab: false,
          minted: false
        })

      session
    end

    defp found({:ok, %{session: pairs}}), do: pairs
    defp found(:not_found), do: []
  end

  describe "any text" do
    @describetag engine: false

    test "fault_61, fault_63, fault_64, fault_65: is read as another parser reads it, or is corrupt" do
      4_000
      |> verdicts("texts", fn ->
        text = nearly_json()

        case {Native.json_decode(text), JSON.decode(text)} do
          {{:ok, read}, {:ok, also_read}} ->
            assert read === also_read
            :read

          {{:error, {:corrupt, message}}, {:error, _reason}} ->
            assert message =~ ~r/\Avalue: the stored JSON is /
            :corrupt

          # The one thing that the other parser lets pass.
          {{:error, {:corrupt, message}}, {:ok, _read}} ->
            assert message =~ "an object has the same key twice"
            :corrupt

          {result, expected} ->
            flunk("#{inspect(text)} is #{inspect(result)} here, and #{inspect(expected)} elsewhere")
        end
      end)
      |> assert_all_met([:read, :corrupt])
    end

    test "fault_67: makes no atoms" do
      for n <- 1..1_000 do
        names = ["never an atom #{n}", "nor is this #{n}"]
        {:ok, _read} = Native.json_decode(~s({"#{hd(names)}": #{JSON.encode!(names)}}))
        for name <- names, do: assert_raise(ArgumentError, fn -> String.to_existing_atom(name) end)
      end
    end
  end

  # The text of a term, damaged in a place or two; or random tokens.
  defp nearly_json do
    case :rand.uniform(4) do
      1 -> for _ <- 1..:rand.uniform(12), into: "", do: Enum.random(tokens())
      2 -> text_of_a_term()
      _ -> Enum.reduce(1..:rand.uniform(2), text_of_a_term(), fn _, text -> damaged(text) end)
    end
  end

  defp tokens do
    ~w([ ] { } , : [] {} [[ null true false nul 0 -0 01 -1 1.5 1e5 1E+2 1e-999 1e999 1. .5 - +1 18446744073709551616] ++
      ~w("" "a" "b" "a":1 "\\u0061":2 "\\ud83d\\ude00" "\\ud800" "\\udc00x" "\\x" "\\" NaN Infinity) ++
      [" ", "\n", "\t", "\r", "\"\n\"", <<255>>, "\uFEFF", "\"é", "1e308", "#{Integer.pow(2, 4_000)}"]
  end

  defp text_of_a_term do
    case Native.json_encode(AnyTerm.any(), 10_000) do
      {:ok, text} -> text
      {:error, _refusal} -> text_of_a_term()
    end
  end

  defp damaged(text) do
    at = :rand.uniform(byte_size(text) + 1) - 1
    <<before::binary-size(^at), rest::binary>> = text

    case :rand.uniform(4) do
      1 ->
        before <> Enum.random(tokens()) <> rest

      2 ->
        before <> binary_part(rest, min(1, byte_size(rest)), max(byte_size(rest) - 1, 0))

      3 ->
        before

      4 ->
        before <> <<:rand.uniform(256) - 1>> <> binary_part(rest, min(1, byte_size(rest)), max(byte_size(rest) - 1, 0))
    end
  end

  defp check(term) do
    case {Native.json_encode(term, @unlimited), Storable.stored(term)} do
      {{:ok, text}, {:ok, stored}} ->
        assert Native.json_decode(text) === {:ok, stored}
        :stored

      {{:error, {:invalid_value, message}}, :refused} ->
        assert Culprit.there?(message, "value", term), "#{message}\n#{inspect(term, limit: :infinity)}"
        :refused

      {result, expected} ->
        flunk("#{inspect(result)} instead of #{inspect(expected)}, of #{inspect(term, limit: :infinity)}")
    end
  end

  defp verdicts(count, things, property), do: Seeds.each(count, things, fn _seed -> property.() end)

  # A property that hardly ever meets one side of itself shows nothing.
  defp assert_all_met(verdicts, sides) do
    counts = Enum.frequencies(verdicts)

    if length(verdicts) > 1 do
      for side <- sides, do: assert(Map.get(counts, side, 0) > length(verdicts) / 10, inspect(counts))
    end
  end
end
