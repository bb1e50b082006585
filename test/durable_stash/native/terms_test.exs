defmodule DurableStash.Native.TermsTest do
  # Not async: a fault that one test asks for could meet another.
  use DurableStash.NativeCase, async: false

  @megabyte 1_048_576

  describe "values" do
    test "come back equal, to the bit (fault_62, fault_63)" do
      for power <- [53, 63, 64, 65, 128, 4000, 100_000], sign <- [1, -1], offset <- [-1, 0, 1] do
        same(sign * (Integer.pow(2, power) + offset))
      end

      for float <- [
            0.0,
            -0.0,
            0.1,
            1.0,
            5.0e-324,
            2.2250738585072014e-308,
            1.7976931348623157e308,
            9_007_199_254_740_991.0
          ] do
        {:ok, text} = Native.json_encode(float, 100)
        {:ok, back} = Native.json_decode(text)
        assert <<back::float>> == <<float::float>>
        assert text =~ ~r/^-?\d+\.\d+(e-?\d+)?$/
      end
    end

    test "of bytes come back byte for byte, or are refused by name (fault_61)" do
      for text <- [
            "",
            <<0>>,
            "a\0b",
            "😀é日本",
            "\"\\/\b\f\n\r\t\x7f",
            <<0x2028::utf8>>,
            String.duplicate("é\n", 10_000)
          ] do
        same(text)
      end

      for not_utf8 <- [<<255>>, <<0xED, 0xA0, 0x80>>, <<0xC0, 0x80>>, "abc" <> <<0xE9>>] do
        assert refusal(%{a: [not_utf8]}) ==
                 "value.a[0]: a binary that is not valid UTF-8 is not JSON-safe"
      end

      assert refusal(<<1::7>>) == "value: a bitstring is not JSON-safe"
    end

    test "in a stored body that JSON does not have are corrupt, and no crash (fault_61, fault_63, fault_65)" do
      for body <- [
            "NaN",
            "Infinity",
            "-Infinity",
            "1e999",
            "\"\\ud800\"",
            "\"\\udc00x\"",
            ~s({"a":1,"a":2}),
            "[1,]",
            "",
            "nul",
            <<?", 255, ?">>
          ] do
        assert {:error, {:corrupt, message}} = Native.json_decode(body)
        assert message =~ "JSON"
      end

      assert {:error, {:corrupt, _}} = Native.json_decode(String.duplicate("9", 4_000_000))
    end

    test "are nested up to 128 levels (fault_64)" do
      same(nested(128))
      assert refusal(nested(129)) =~ ~r/^value\[0\].*…: nested more than 128 levels deep$/u

      for depth <- [10_000, 1_000_000],
          do: assert(refusal(nested(depth)) =~ "nested more than 128")

      for depth <- [200, 10_000, 1_000_000] do
        body = String.duplicate("[", depth) <> String.duplicate("]", depth)
        assert {:error, {:corrupt, _}} = Native.json_decode(body)
      end
    end

    test "whose keys are one and the same in JSON are refused (fault_65)" do
      assert refusal(%{:a => 1, "a" => 2}) =~
               ~r/^value: the keys (:a and "a"|"a" and :a) are one and the same in JSON$/

      assert refusal(%{1 => 1, "1" => 2}) =~ "one and the same"
      assert refusal(%{"1" => 1, "1": 2}) =~ "one and the same"
      assert refusal(%{nil => 1, "nil" => 2}) =~ "one and the same"
      large = Map.new(1..10_000, &{&1, &1})
      assert refusal(Map.put(large, "77", 1)) =~ ~r/the keys (77 and "77"|"77" and 77)/
      same(Map.new(1..10_000, &{"k#{&1}", &1}))
    end

    test "that JSON has no place for are refused by name, with the path to the culprit (fault_66)" do
      [port | _] = Port.list()

      for {term, name} <- [
            {{1, 2}, "a tuple"},
            {{}, "a tuple"},
            {self(), "a pid"},
            {port, "a port"},
            {make_ref(), "a reference"},
            {fn -> 1 end, "a function"},
            {&String.length/1, "a function"},
            {[1 | 2], "an improper list"},
            {~U[2020-01-01 00:00:00Z], "a DateTime"},
            {~D[2020-01-01], "a Date"},
            {MapSet.new([1]), "a MapSet"},
            {1..2, "a Range"},
            {~r/a/, "a Regex"},
            {%ArgumentError{message: "m"}, "an ArgumentError"},
            {%{__struct__: Some.Thing.Gone, a: 1}, "a Some.Thing.Gone"}
          ] do
        assert refusal(term) == "value: #{name} is not JSON-safe"

        assert refusal(%{items: [1, 2, 3, %{"at" => term}]}) ==
                 "value.items[3].at: #{name} is not JSON-safe"

        assert refusal(%{1 => %{"a b" => term}}) == "value[1][\"a b\"]: #{name} is not JSON-safe"
      end

      assert refusal(a: 1) == "value[0]: a tuple is not JSON-safe"

      assert refusal(%{1.5 => 1}) ==
               "value: a float as a map's key is not JSON-safe; atoms, binaries and integers are"

      assert refusal(%{{1} => 1}) =~ "a tuple as a map's key"
    end

    # OTP 29 has native records, and asking the VM for the type of one in the usual way ends the VM.
    if Code.ensure_loaded?(:records) do
      test "of a type that the library does not know are refused (fault_66)" do
        record = apply(:records, :create, [:some_module, :point, [x: 1], %{is_exported: true}])

        for {term, path} <- [{record, "value"}, {[%{a: record}], "value[0].a"}] do
          assert refusal(term) == "#{path}: a term of an unknown type is not JSON-safe"
        end

        assert refusal(%{record => 1}) =~ "a term of an unknown type as a map's key"
      end
    end

    test "make no atoms when they are read (fault_67)" do
      body = "{" <> Enum.map_join(1..100_000, ",", &~s("never_an_atom_#{&1}":1)) <> "}"
      before = :erlang.system_info(:atom_count)
      {:ok, map} = Native.json_decode(body)
      assert map_size(map) == 100_000
      assert :erlang.system_info(:atom_count) - before < 100
    end

    test "of equal terms have equal text" do
      for size <- [5, 32, 33, 5_000] do
        pairs = for n <- 1..size, do: {"k#{n}", n}
        texts = for _ <- 1..5, do: Native.json_encode(Map.new(Enum.shuffle(pairs)), @megabyte)
        assert length(Enum.uniq(texts)) == 1
      end
    end
  end
end
