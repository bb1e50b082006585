defmodule DurableStash.Culprit do
  @moduledoc """
  Walks the path that a refusal names, and says whether what the refusal tells of is really there.
  """

  alias DurableStash.Storable

  @doc """
  Whether `message` is true of `term`, whose path begins with `name`. A path that was cut may lead anywhere below.
  """
  @spec there?(String.t(), name :: String.t(), term()) :: boolean()
  def there?(message, name, term) do
    ^name = binary_part(message, 0, byte_size(name))
    rest = binary_part(message, byte_size(name), byte_size(message) - byte_size(name))
    {steps, sentence} = steps(rest, [])
    Enum.any?(reached([{term, 0}], steps), fn {found, depth} -> fits?(sentence, found, depth) end)
  end

  @doc "How a path shows the name that it begins with."
  @spec name(String.t()) :: String.t()
  def name(name), do: if(length(String.codepoints(name)) > 40, do: codepoints(name, 40) <> "…", else: name)

  defp codepoints(text, count), do: text |> String.codepoints() |> Enum.take(count) |> Enum.join()

  # -- The path ---------------------------------------------------------------------------------------------------------

  defp steps(": " <> sentence, steps), do: {Enum.reverse(steps), sentence}
  defp steps("…: " <> sentence, steps), do: {Enum.reverse([:anywhere | steps]), sentence}

  defp steps(path, steps) do
    [{pattern, step}] = for {pattern, step} <- shapes(), path =~ pattern, do: {pattern, step}
    [shown | parts] = Regex.run(pattern, path)
    steps(binary_part(path, byte_size(shown), byte_size(path) - byte_size(shown)), [step.(parts) | steps])
  end

  defp shapes do
    [
      {~r/\A\.([A-Za-z_][A-Za-z0-9_?!]*)/, fn [name] -> {:key, &(is_atom(&1) or is_binary(&1)), name} end},
      {~r/\A\[(-?\d+)\]/, fn [digits] -> {:number, String.to_integer(digits)} end},
      {~r/\A\[(minus )?an integer of (\d+) bytes\]/,
       fn [minus, bytes] -> {:bytes, minus, String.to_integer(bytes)} end},
      {~r/\A\["((?:[^"\\]|\\.)*)"\]/us, fn [shown] -> {:key, &is_binary/1, unescaped(shown)} end},
      {~r/\A\[:"((?:[^"\\]|\\.)*)"\]/us, fn [shown] -> {:key, &is_atom/1, unescaped(shown)} end}
    ]
  end

  defp unescaped(shown) do
    Regex.replace(~r/\\(?:u\{([0-9a-f]+)\}|(.))/us, shown, fn
      _all, "", "n" -> "\n"
      _all, "", "r" -> "\r"
      _all, "", "t" -> "\t"
      _all, "", "0" -> "\0"
      _all, "", quoted -> quoted
      _all, code, "" -> <<String.to_integer(code, 16)::utf8>>
    end)
  end

  # -- The way ----------------------------------------------------------------------------------------------------------

  defp reached(places, []), do: places
  defp reached(places, [:anywhere]), do: Enum.flat_map(places, &everything_below/1)
  defp reached(places, [step | steps]), do: places |> Enum.flat_map(&take(&1, step)) |> reached(steps)

  defp take({list, depth}, {:number, index}) when is_list(list),
    do: for({item, ^index} <- Enum.with_index(items(list)), do: {item, depth + 1})

  defp take({map, depth}, step) when is_map(map) and not is_struct(map),
    do: for({key, value} <- map, key?(step, key), do: {value, depth + 1})

  defp take(_place, _step), do: []

  defp key?({:number, number}, key), do: key === number

  defp key?({:bytes, minus, bytes}, key),
    do: is_integer(key) and key < 0 == (minus != "") and byte_size(:binary.encode_unsigned(abs(key))) == bytes

  defp key?({:key, kind?, name}, key), do: kind?.(key) and name?(name, Storable.key(key))

  # A long name is cut after 40 characters.
  defp name?(name, {:ok, text}),
    do: text == name or (String.ends_with?(name, "…") and String.starts_with?(text, String.trim_trailing(name, "…")))

  defp name?(_name, :refused), do: false

  defp everything_below({term, depth} = place) do
    below =
      cond do
        is_list(term) -> items(term)
        is_map(term) and not is_struct(term) -> Map.values(term)
        true -> []
      end

    [place | Enum.flat_map(below, &everything_below({&1, depth + 1}))]
  end

  defp items([head | tail]), do: [head | items(tail)]
  defp items(_end), do: []

  # -- The sentence -----------------------------------------------------------------------------------------------------

  defp fits?("nested more than 128 levels deep", term, depth),
    do: depth == Storable.levels() and (is_list(term) or (is_map(term) and not is_struct(term)))

  defp fits?("a binary that is not valid UTF-8 is not JSON-safe", term, _depth),
    do: is_binary(term) and not String.valid?(term)

  defp fits?("an improper list is not JSON-safe", term, _depth), do: is_list(term) and List.improper?(term)

  defp fits?(sentence, term, _depth) do
    cond do
      parts = Regex.run(~r/\A(.+) as a map's key is not JSON-safe; atoms, binaries and integers are\z/us, sentence) ->
        [_all, named] = parts
        map?(term) and Enum.any?(Map.keys(term), &(Storable.key(&1) == :refused and key_named?(named, &1)))

      parts = Regex.run(~r/\Athe keys (.+) and (.+) are one and the same in JSON\z/us, sentence) ->
        [_all, one, other] = parts
        map?(term) and one != other and collide?(term)

      true ->
        sentence == "#{article(term)} is not JSON-safe"
    end
  end

  defp map?(term), do: is_map(term) and not is_struct(term)

  defp collide?(map) do
    texts = for {key, _value} <- map, {:ok, text} <- [Storable.key(key)], do: text
    Enum.uniq(texts) != texts
  end

  defp key_named?("a float", key), do: is_float(key)
  defp key_named?("a list", key), do: is_list(key)
  defp key_named?("a map", key), do: map?(key)
  defp key_named?("a binary that is not valid UTF-8", key), do: is_binary(key)
  defp key_named?(named, key), do: named == article(key)

  defp article(%module{}) do
    name = module |> Atom.to_string() |> String.replace_prefix("Elixir.", "")
    if String.starts_with?(name, ["A", "E", "I", "O"]), do: "an #{name}", else: "a #{name}"
  end

  defp article(term) when is_tuple(term), do: "a tuple"
  defp article(term) when is_pid(term), do: "a pid"
  defp article(term) when is_port(term), do: "a port"
  defp article(term) when is_reference(term), do: "a reference"
  defp article(term) when is_function(term), do: "a function"
  defp article(term) when is_bitstring(term) and not is_binary(term), do: "a bitstring"
  defp article(term), do: if(plain?(term), do: nil, else: "a term of an unknown type")

  defp plain?(term), do: is_binary(term) or is_number(term) or is_atom(term) or is_list(term) or is_map(term)
end
