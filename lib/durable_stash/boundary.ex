defmodule DurableStash.Boundary do
  @moduledoc false
  # What every call of the NIF goes through: its failures are errors, and its answers arrive as messages, once or never.

  alias DurableStash.Error

  # What `receive` takes.
  @longest_wait 4_294_967_295

  @doc "The longest timeout, in ms."
  @spec longest_wait() :: pos_integer()
  def longest_wait, do: @longest_wait

  @doc "Raises before anything is asked for."
  @spec check_timeout!(term(), what :: String.t()) :: :ok
  def check_timeout!(:infinity, _what), do: :ok
  def check_timeout!(timeout, _what) when timeout in 0..@longest_wait//1, do: :ok

  def check_timeout!(timeout, what) do
    raise ArgumentError,
          "#{what} takes a number of milliseconds, at most #{@longest_wait}, or :infinity, got: #{inspect(timeout)}"
  end

  @doc """
  Calls the NIF. Every failure of the boundary itself becomes an error: a panic that was caught, a library that is not
  loaded.
  """
  @spec call((-> result | {:error, {Error.kind(), String.t()} | Error.t()})) :: result | {:error, Error.t()}
        when result: term()
  def call(call) do
    case call.() do
      {:error, {kind, message}} -> {:error, Error.new(kind, message)}
      result -> result
    end
  rescue
    error in [ErlangError, ArgumentError, UndefinedFunctionError] ->
      {:error, Error.new(:engine_down, "The engine did not take the call: #{reason(error)}")}
  end

  @doc """
  Makes a request and waits for its reply. No reply arrives after this has returned: giving up claims the request first,
  by `cancel`, and where the engine was quicker the message is certain to come.
  """
  @spec request(
          timeout(),
          start :: (id :: pos_integer() -> {:ok, reference()} | term()),
          cancel :: (reference() -> boolean())
        ) :: term()
  def request(timeout, start, cancel) do
    id = :atomics.add_get(:persistent_term.get({__MODULE__, :ids}), 1, 1)

    call(fn ->
      with {:ok, request} <- start.(id), do: await(id, request, timeout, cancel)
    end)
  end

  @doc "Requests are numbered across all engines of the node, so that no reply is taken for another's."
  @spec start_numbering() :: :ok
  def start_numbering, do: :persistent_term.put({__MODULE__, :ids}, :atomics.new(1, signed: false))

  defp await(id, request, timeout, cancel) do
    receive do
      {:durable_stash, ^id, reply} -> reply
    after
      timeout ->
        if cancel.(request) do
          {:error, {:timeout, "There was no answer within #{timeout} ms"}}
        else
          receive do
            {:durable_stash, ^id, reply} -> reply
          end
        end
    end
  end

  defp reason(%ErlangError{original: original}), do: inspect(original)
  defp reason(%ArgumentError{}), do: "an argument is not of the type, or in the range, that it takes"

  # A library that does not load leaves its module undefined; what the loader said is in the log.
  defp reason(%UndefinedFunctionError{}) do
    "the library in priv/native could not be loaded. It has to be built on this kind of machine, by this Erlang/OTP " <>
      "release or an older one: try `mix deps.compile durable_stash --force`"
  end
end
