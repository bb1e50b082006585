defmodule DurableStash.Standing do
  @moduledoc false
  # How the writes of one handle fare: what is saved, on its way and for how long, or has failed.

  alias DurableStash.Context
  alias DurableStash.Session
  alias DurableStash.Telemetry

  # How long (ms) a write may take before the status says so: "Saved" that gives way to "Saving…" with each keystroke is nothing to
  # look at, and nothing to hear for who has it read out.
  @quick 200

  # From then on (ms) a write that is not saved counts as late: one request, with all that it may take, has had its time.
  @late 5_000

  # The number of a write, and when the engine took it (monotonic ms).
  @type sent :: {op :: pos_integer(), at :: integer()}
  @type status :: :saved | :pending | :saving | :unsaved
  @type t :: %__MODULE__{
          failures: non_neg_integer(),
          owed: nil | :state | :reset,
          oldest: sent() | nil,
          latest: sent() | nil
        }

  defstruct [
    # As many failures of the handle were noticed.
    failures: 0,
    # What is to be done for them: to send the whole state again, or first to empty what is stored. It is owed until the engine
    # takes a write that does it, so nothing that is saved meanwhile hides a failure.
    owed: nil,
    # The write that has been unsaved the longest, as far as is known, and the last one. None where there was none.
    oldest: nil,
    latest: nil
  ]

  @doc "Whether what was stashed is in the store, and for how long (ms) this is so if nothing happens."
  @spec of(Context.t()) :: {status(), pos_integer() | :infinity}
  def of(context) do
    cond do
      context.error != nil or context.standing.owed != nil or context.refused != %{} -> {:unsaved, :infinity}
      context.session == nil -> {:saved, :infinity}
      true -> of(context, Session.status(context.session))
    end
  end

  @doc "The engine took a write. It took none where the number is 0."
  @spec sent(Context.t(), op :: non_neg_integer()) :: Context.t()
  def sent(context, 0), do: context

  def sent(%{standing: standing} = context, op) do
    sent = {op, System.monotonic_time(:millisecond)}
    %{context | standing: %{standing | oldest: standing.oldest || sent, latest: sent}}
  end

  @doc "Takes in what the handle says. After a failure everything is sent again."
  @spec settle(Context.t(), map()) :: Context.t()
  def settle(%{standing: standing} = context, %{failures: failures} = status) when failures > standing.failures do
    Telemetry.unsaved(context, failures - standing.failures)
    owed = if standing.owed == :reset or status.reset == :failed, do: :reset, else: :state
    %{context | kept: %{}, standing: %__MODULE__{failures: failures, owed: owed}}
  end

  def settle(%{standing: standing} = context, %{saved: saved}) do
    oldest = if unsaved?(standing.oldest, saved), do: standing.oldest
    %{context | standing: %{standing | oldest: oldest}}
  end

  @doc "The standing of a handle that is opened in the place of the context's: what that one has not saved is owed."
  @spec inherited(Context.t()) :: t()
  def inherited(%{session: nil, standing: standing}), do: standing

  def inherited(%{standing: standing} = context) do
    case Session.status(context.session) do
      {:ok, %{reset: reset}} when reset != :saved -> %__MODULE__{owed: :reset}
      {:ok, status} -> %__MODULE__{owed: standing.owed || if(saved?(standing, status), do: nil, else: :state)}
      {:error, _error} -> %__MODULE__{owed: standing.owed || :state}
    end
  end

  @doc "The context owes this, or nothing any more."
  @spec owes(Context.t(), nil | :state | :reset) :: Context.t()
  def owes(%{standing: standing} = context, owed), do: %{context | standing: %{standing | owed: owed}}

  defp of(context, {:ok, status}) do
    cond do
      status.superseded? or status.failures > context.standing.failures -> {:unsaved, :infinity}
      saved?(context.standing, status) -> {:saved, :infinity}
      status.down? or not Session.current?(context.session) -> {:unsaved, :infinity}
      true -> open(max(age(context.standing, status.saved), status.leans_for || 0))
    end
  end

  defp of(_context, {:error, _error}), do: {:unsaved, :infinity}

  defp saved?(standing, status) do
    status.accepted <= status.saved and status.leans_for == nil and status.failures <= standing.failures
  end

  defp open(age) when age < @quick, do: {:pending, @quick - age}
  defp open(age) when age < @late, do: {:saving, @late - age}
  defp open(_age), do: {:unsaved, :infinity}

  # Of the writes between the two nothing is known: the age may be too low by as much as the last one came later.
  defp age(%{oldest: oldest, latest: latest}, saved) do
    case Enum.find([oldest, latest], &unsaved?(&1, saved)) do
      {_op, sent_at} -> System.monotonic_time(:millisecond) - sent_at
      nil -> 0
    end
  end

  defp unsaved?({op, _sent_at}, saved), do: op > saved
  defp unsaved?(nil, _saved), do: false
end
