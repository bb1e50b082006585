defmodule DurableStash.EngineLog do
  @moduledoc false
  # What the operator reads of an engine: that its store is away, though no LiveView says so, and what a shutdown left
  # unsaved.

  alias DurableStash.Engine
  alias DurableStash.Error

  require Logger

  @doc "Says a change of the engine's health, once."
  @spec health(Engine.name(), before :: atom(), now :: atom(), reason :: String.t() | nil) :: :ok
  def health(_name, health, health, _reason), do: :ok

  def health(name, before, health, reason) do
    message = fn what -> "[DurableStash] #{inspect(name)} #{what}#{reason && ": " <> reason}" end

    case health do
      :degraded -> Logger.error(message.("cannot reach its store, and keeps trying"))
      :refusing -> Logger.error(message.("refuses writes"))
      :ready when before in [:degraded, :refusing] -> Logger.info(message.("is ready again"))
      _as_expected -> :ok
    end
  end

  @doc "Says what was not saved before the shutdown."
  @spec drained({:ok, map()} | {:error, Error.t()}) :: :ok
  def drained({:ok, %{unsaved_ops: 0}}), do: :ok

  def drained({:ok, %{unsaved_ops: ops, unsaved_sessions: sessions}}) do
    Logger.error(
      "[DurableStash] shut down with #{ops} writes of #{sessions} sessions not saved: the store did not take them in time"
    )
  end

  def drained({:error, error}) do
    Logger.error("[DurableStash] could not save what was accepted before the shutdown: #{error.message}")
  end
end
