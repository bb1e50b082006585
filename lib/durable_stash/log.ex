defmodule DurableStash.Log do
  @moduledoc false
  # Says each cause once a minute: a store that is away must not fill the log at the rate of the visitors. A message never
  # holds a session id, a secret or a value.

  require Logger

  @table __MODULE__
  @interval to_timeout(minute: 1)

  @doc "Makes the table of what was said when, owned by the caller."
  @spec start() :: :ok
  def start do
    :ets.new(@table, [:named_table, :public, :set, write_concurrency: true])
    :ok
  end

  @doc "Logs the message, unless this cause was logged less than a minute ago."
  @spec once_a_minute(cause :: term(), Logger.level(), message :: String.t()) :: :ok
  def once_a_minute(cause, level, message) do
    if due?(cause), do: Logger.log(level, "[DurableStash] " <> message)
    :ok
  end

  # Of two that find the cause due at once, one wins.
  defp due?(cause) do
    now = System.monotonic_time(:millisecond)

    due = [
      {{:"$1", :"$2"}, [{:==, :"$1", {:const, cause}}, {:"=<", :"$2", now - @interval}], [{{:"$1", now}}]}
    ]

    :ets.insert_new(@table, {cause, now}) or :ets.select_replace(@table, due) == 1
  rescue
    # The application is not running, so the table is gone.
    ArgumentError -> true
  end
end
