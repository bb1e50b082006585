defmodule DurableStash.Sealed do
  @moduledoc """
  Objects with a right length and checksum and any body, as a store may hold them that somebody else can write to.
  """

  import Bitwise

  @polynomial 0x82F63B78
  @table List.to_tuple(
           for byte <- 0..255 do
             Enum.reduce(1..8, byte, fn _bit, sum ->
               if (sum &&& 1) == 1, do: bxor(sum >>> 1, @polynomial), else: sum >>> 1
             end)
           end
         )

  @doc "The object with another body: the header stays as it is, but for the length and the checksum."
  @spec with_body(object :: binary(), body :: binary()) :: binary()
  def with_body(object, body) do
    [line, _body] = String.split(object, "\n", parts: 2)
    [head, _rest] = String.split(line, ~s(,"len":), parts: 2)
    head = ~s(#{head},"len":#{byte_size(body)},"crc32c":")
    checksum = (head <> body) |> crc32c() |> Integer.to_string(16) |> String.downcase() |> String.pad_leading(8, "0")
    ~s(#{head}#{checksum}"}\n#{body})
  end

  defp crc32c(bytes) do
    sum = for <<byte <- bytes>>, reduce: 0xFFFFFFFF, do: (sum -> bxor(elem(@table, bxor(sum, byte) &&& 255), sum >>> 8))
    bxor(sum, 0xFFFFFFFF)
  end
end
