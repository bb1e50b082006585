defmodule DurableStash.Schema do
  @moduledoc false
  # A list of options, each with what it takes: one place for validating and for documenting them.

  @type type ::
          :positive
          | :natural
          | {:positive | :natural, max :: pos_integer()}
          | :boolean
          | :string
          | :atom
          | :secret
          | :hidden
          | :any
          | {:in, [atom()]}
          | {:nullable, type()}
  @type option :: {name :: atom(), {default :: term(), type(), takes :: String.t()}}
  @type t :: [option()]

  @min_secret_bytes 32
  # Exact in every reader of JSON, and far from what overflows in a sum.
  @max_integer 9_007_199_254_740_991

  @doc """
  Applies the defaults and checks every option. `:required` as a default means that there is none.

  Raises an `ArgumentError` that says where the option was given, which one it is and what it takes.
  """
  @spec validate!(term(), t(), where :: String.t()) :: keyword()
  def validate!(options, schema, where) do
    if not Keyword.keyword?(options) do
      # It may hold a secret, so it is not shown.
      raise ArgumentError, "#{where} takes a keyword list, got something else"
    end

    check_names!(Keyword.keys(options), Keyword.keys(schema), where)

    for {name, {default, type, takes}} <- schema do
      value = Keyword.get(options, name, default)

      cond do
        value == :required ->
          raise ArgumentError,
                "#{where}: the option #{inspect(name)} is missing. It takes #{takes}"

        valid?(type, value) ->
          {name, normalize(type, value)}

        true ->
          raise ArgumentError,
                "#{where}: the option #{inspect(name)} takes #{takes}, got: #{shown(type, value)}"
      end
    end
  end

  defp check_names!(given, known, where) do
    if unknown = Enum.find(given, &(&1 not in known)) do
      raise ArgumentError,
            "#{where}: unknown option #{inspect(unknown)}. The options are #{Enum.map_join(known, ", ", &inspect/1)}"
    end

    with [twice | _rest] <- given -- Enum.uniq(given) do
      raise ArgumentError, "#{where}: the option #{inspect(twice)} is given more than once"
    end
  end

  @doc "The options as a table in Markdown."
  @spec table(t()) :: String.t()
  def table(schema) do
    rows =
      for {name, {default, _type, takes}} <- schema do
        default = if default == :required, do: "required", else: "`#{inspect(default)}`"
        "| `#{inspect(name)}` | #{default} | #{takes} |\n"
      end

    "| option | default | takes |\n|--------|---------|-------|\n#{rows}"
  end

  defp valid?(:positive, value), do: valid?({:positive, @max_integer}, value)
  defp valid?(:natural, value), do: valid?({:natural, @max_integer}, value)
  defp valid?({:positive, max}, value), do: is_integer(value) and value in 1..max//1
  defp valid?({:natural, max}, value), do: is_integer(value) and value in 0..max//1
  defp valid?(:boolean, value), do: is_boolean(value)
  defp valid?(:string, value), do: is_binary(value) and value != "" and String.valid?(value)
  defp valid?(:hidden, value), do: valid?(:string, value)
  defp valid?(:atom, value), do: is_atom(value) and value not in [nil, true, false]

  defp valid?(:secret, [_ | _] = secrets),
    do: not List.improper?(secrets) and Enum.all?(secrets, &valid_secret?/1)

  defp valid?(:secret, secret), do: valid_secret?(secret)
  defp valid?(:any, _value), do: true
  defp valid?({:in, values}, value), do: value in values
  defp valid?({:nullable, type}, value), do: value == nil or valid?(type, value)

  defp valid_secret?(secret), do: is_binary(secret) and byte_size(secret) >= @min_secret_bytes

  defp normalize(:secret, secret), do: List.wrap(secret)
  defp normalize({:nullable, type}, value) when value != nil, do: normalize(type, value)
  defp normalize(_type, value), do: value

  # Secrets are never shown, not even wrong ones.
  defp shown({:nullable, type}, value), do: shown(type, value)
  defp shown(:secret, secret) when is_binary(secret), do: "a binary of #{byte_size(secret)} bytes"
  defp shown(:secret, []), do: "an empty list"

  defp shown(:secret, [_ | _] = secrets) do
    if List.improper?(secrets),
      do: "an improper list",
      else: "[" <> Enum.map_join(secrets, ", ", &shown(:secret, &1)) <> "]"
  end

  defp shown(type, _secret) when type in [:secret, :hidden], do: "something else"
  defp shown(type, value) when type in [:positive, :natural], do: shown({type, @max_integer}, value)

  defp shown({sign, max}, value) when sign in [:positive, :natural] and is_integer(value) and value > max,
    do: "#{value}, and the most is #{max}"

  defp shown(_type, value), do: inspect(value)
end
