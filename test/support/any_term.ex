defmodule DurableStash.AnyTerm do
  @moduledoc """
  Terms of every type that Erlang can build, drawn from the calling process's `:rand`: the same seed draws the same term.

  Some draws are storable throughout, some have a few parts that are not, some many. Atoms come from a fixed pool.
  """

  @atoms [
           :ok,
           :a,
           :b,
           :"",
           :"an atom",
           :日本,
           :Ünï,
           :"1",
           :"-1",
           :"Elixir.Some.Module",
           :"a\"b\\c",
           :"a\nb\0",
           :ok?,
           :no!
         ] ++
           [
             :__struct__,
             :"…",
             :"e\u0301",
             String.to_atom(String.duplicate("x", 255)),
             String.to_atom(String.duplicate("é", 200))
           ]
  @words [nil, true, false]

  # In percent: how much of a term is of what JSON has no place for.
  @hostilities [0, 0, 0, 1, 5, 40]

  @doc "Any term."
  @spec any() :: term()
  def any do
    hostility = Enum.random(@hostilities)

    case :rand.uniform(40) do
      1 -> nested(120 + :rand.uniform(20), hostility)
      2 -> nested(Enum.random([127, 128, 129, 1_000]), hostility)
      3 -> wide(hostility)
      _ -> term(:rand.uniform(6) - 1, hostility)
    end
  end

  @doc "A term that has no other inside."
  @spec scalar() :: term()
  def scalar, do: scalar(50)

  @doc "An integer of any size: of few bits or of up to 4000, near a power of two more often than by chance."
  @spec integer() :: integer()
  def integer do
    power =
      Integer.pow(
        2,
        Enum.random([:rand.uniform(8), :rand.uniform(70), Enum.random([31, 53, 59, 63, 64]), :rand.uniform(4_000)])
      )

    case :rand.uniform(3) do
      1 -> power + Enum.random(-2..2)
      2 -> -power + Enum.random(-2..2)
      3 -> :rand.uniform(power) * Enum.random([1, -1])
    end
  end

  @doc "A float of any bits, denormals and both zeros included."
  @spec float() :: float()
  def float do
    bits =
      case :rand.uniform(4) do
        1 -> <<:rand.uniform(2) - 1::1, 0::11, random_bits(52)::52>>
        2 -> <<Enum.random([0.1, 1.0, -0.0, 0.0, 5.0e-324, 1.0e22, 1.0e23, 1.7976931348623157e308])::float>>
        3 -> <<integer_within(53) / Enum.random([1, 2, 3, 10])::float>>
        4 -> <<random_bits(64)::64>>
      end

    case bits do
      <<float::float>> -> float
      _not_a_number -> float()
    end
  end

  @doc "UTF-8 text, from what needs escapes to what needs four bytes."
  @spec text() :: String.t()
  def text do
    case :rand.uniform(12) do
      1 -> ""
      2 -> String.duplicate(text(20), :rand.uniform(100))
      3 -> Enum.random(~w(nil true false 1 -1 a b a.b a[0] __struct__ … NaN {} [] 1e5))
      _ -> text(12)
    end
  end

  @doc "A binary that is not UTF-8."
  @spec not_utf8() :: binary()
  def not_utf8 do
    wrong = [
      <<255>>,
      <<0xC0, 0x80>>,
      <<0xED, 0xA0, 0x80>>,
      <<0xF4, 0x90, 0x80, 0x80>>,
      <<0xE9>>,
      <<0xF0, 0x9F, 0x98>>,
      <<0x80>>
    ]

    text() <> Enum.random(wrong) <> Enum.random(["", text(3)])
  end

  @doc "A term that JSON has no place for, whatever is in it."
  @spec unstorable() :: term()
  def unstorable do
    case :rand.uniform(19) do
      1 -> {}
      2 -> {scalar(0), scalar(0)}
      3 -> self()
      4 -> make_ref()
      5 -> hd(Port.list())
      6 -> fn -> :anything end
      7 -> &String.length/1
      8 -> <<random_bits(7)::7>>
      9 -> <<text(5)::binary, 1::1>>
      10 -> not_utf8()
      11 -> [1, 2 | Enum.random([3, :tail, "tail", %{}])]
      12 -> Enum.random([~U[2026-01-01 00:00:00Z], ~D[2026-01-01], ~T[00:00:00.000001], ~N[2026-01-01 00:00:00]])
      13 -> MapSet.new([scalar(0)])
      14 -> Enum.random([1..2, ~r/a/, URI.parse("http://host/"), %ArgumentError{message: text(5)}])
      15 -> %{__struct__: Enum.random([Some.Module.That.Is.Gone, nil, :an_erlang_name, :""]), a: scalar(0)}
      16 -> [{:keyword, 1}, {:list, scalar(0)}]
      17 -> native_record()
      18 -> foreign_pid()
      19 -> Enum.random([:ets.new(:any, []), :atomics.new(1, []), &:erlang.display/1, :erlang.alias()])
    end
  end

  @doc "A pid of a node that was never seen."
  @spec foreign_pid() :: pid()
  # NEW_PID_EXT, https://www.erlang.org/doc/apps/erts/erl_ext_dist.html
  def foreign_pid,
    do: :erlang.binary_to_term(<<131, 88, 119, 11, "never@seen!", :rand.uniform(1_000)::32, 0::32, 1::32>>)

  @doc "A map's key."
  @spec key(hostility :: 0..100) :: term()
  def key(hostility) do
    if chance(hostility),
      do: Enum.random([float(), [], %{}, unstorable()]),
      else: Enum.random([Enum.random(@atoms ++ @words), text(), text(3), Enum.random(-3..3), integer()])
  end

  defp term(_depth = 0, hostility), do: scalar(hostility)

  defp term(depth, hostility) do
    case :rand.uniform(8) do
      1 -> scalar(hostility)
      2 -> for _ <- 1..:rand.uniform(30)//1, do: scalar(hostility)
      n when n in 3..5 -> for _ <- 1..(:rand.uniform(6) - 1)//1, do: term(depth - 1, hostility)
      _ -> Map.new(1..(:rand.uniform(6) - 1)//1, fn _ -> {key(div(hostility, 2)), term(depth - 1, hostility)} end)
    end
  end

  defp scalar(hostility) do
    if chance(hostility) do
      unstorable()
    else
      case :rand.uniform(6) do
        1 -> Enum.random(@atoms)
        2 -> Enum.random(@words)
        3 -> integer()
        4 -> float()
        _ -> text()
      end
    end
  end

  defp nested(depth, hostility) do
    Enum.reduce(1..depth, term(2, hostility), fn level, inner ->
      case rem(level, Enum.random([2, 3, 100])) do
        0 -> %{Enum.random([:k, "a key", level]) => inner}
        _ -> Enum.random([[inner], [level, inner], [inner, level]])
      end
    end)
  end

  # Past 32 keys the VM has another kind of map.
  defp wide(hostility) do
    count = Enum.random([31, 32, 33, 34, 500, 3_000])
    map = Map.new(1..count, &{Enum.random(["k#{&1}", &1]), scalar(hostility)})
    Map.put(map, key(hostility), scalar(hostility))
  end

  defp text(length), do: for(_ <- 1..:rand.uniform(length)//1, into: "", do: <<character()::utf8>>)

  defp character do
    case :rand.uniform(6) do
      1 -> :rand.uniform(0x80) - 1
      2 -> Enum.random(~c["\\/\n\t\r\b\f\0] ++ [0x7F, 0x2028, 0xFEFF, 0xFFFD, 0xFFFF, 0x301, 0x200D])
      3 -> 0x7F + :rand.uniform(0xD000)
      4 -> 0xFFFF + :rand.uniform(0x100000)
      _ -> Enum.random(?a..?z)
    end
  end

  # OTP 29 has them, and asking the VM for the type of one in the usual way ends the VM.
  if Code.ensure_loaded?(:records) do
    defp native_record, do: apply(:records, :create, [:some_module, :point, [x: 1], %{is_exported: true}])
  else
    defp native_record, do: {:record, 1}
  end

  defp integer_within(bits), do: random_bits(bits) * Enum.random([1, -1])
  defp random_bits(bits), do: :rand.uniform(Integer.pow(2, bits)) - 1
  defp chance(percent), do: :rand.uniform(100) <= percent
end
