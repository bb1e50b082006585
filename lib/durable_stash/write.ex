defmodule DurableStash.Write do
  @moduledoc false
  # A stash or a reset: what changed goes to the engine, which accepts it at once and saves it later. The kept terms advance
  # on what was accepted, so what was not goes out again with the next stash.

  alias DurableStash.Context
  alias DurableStash.Defaults
  alias DurableStash.Delta
  alias DurableStash.Error
  alias DurableStash.Peers
  alias DurableStash.Session
  alias DurableStash.Standing
  alias DurableStash.Telemetry

  # How long `durability: :await` holds the LiveView.
  @await_timeout 5_000

  @doc """
  Stashes the assigns that changed. At a dead mount nothing is written: the connected mount runs the same code.
  """
  @spec stash(Context.t(), assigns :: map()) :: :unchanged | {:written, Context.t()}
  def stash(%Context{tab: %{mount: :dead}}, _assigns), do: :unchanged

  def stash(%Context{} = context, assigns) do
    context = Context.mounted(context, assigns)

    case Context.ready(context) do
      {:ok, ready} ->
        send_changed(context, ready, changed(ready, assigns), assigns)

      {:error, error, context} ->
        Telemetry.span(:stash, context, fn -> not_accepted(error, context) end)
    end
  end

  @doc "Empties the view's slice and this tab. What is assigned is stashed anew by the next stash."
  @spec reset(Context.t()) :: :unchanged | {:written, Context.t()}
  def reset(%Context{tab: %{mount: :dead}}), do: :unchanged

  def reset(%Context{} = context) do
    Telemetry.span(:reset, context, fn ->
      with {:ok, ready} <- Context.ready(context),
           {:ok, context} <- send_reset(to_reset(ready)) do
        {{:written, Standing.owes(%{context | error: nil}, nil)}, %{}, %{result: :accepted}}
      else
        {:error, error, context} -> not_accepted(error, to_reset(context))
      end
    end)
  end

  @doc "Waits until everything stashed so far is saved."
  @spec flush(Context.t(), timeout()) :: :ok | {:error, Error.t()}
  def flush(%Context{tab: %{mount: :dead}}, _timeout), do: :ok
  def flush(%Context{error: %Error{} = error}, _timeout), do: {:error, error}

  def flush(%Context{refused: refused}, _timeout) when refused != %{},
    do: {:error, refused |> Map.values() |> hd()}

  def flush(%Context{standing: %{owed: owed}}, _timeout) when owed != nil, do: {:error, given_up()}
  def flush(%Context{session: nil}, _timeout), do: :ok
  def flush(%Context{} = context, timeout), do: await_saved(context, timeout)

  defp await_saved(%Context{session: session} = context, timeout) do
    with :ok <- Session.flush(session, timeout),
         {:ok, status} <- Session.status(session) do
      # The engine takes a write that was saved after a failure for the answer to it. Where the failure came between our
      # look at the counters and that write, it is not: the next stash is.
      if status.failures > context.standing.failures, do: {:error, given_up()}, else: :ok
    end
  end

  defp changed(%Context{options: options} = context, assigns) do
    known = Defaults.known(context.defaults, context.kept)
    for keys <- [options.session_keys, options.tab_keys, options.shared_keys], do: Delta.changed(keys, assigns, known)
  end

  # Where nothing differs from what was accepted, nothing is owed, whatever went wrong before.
  defp send_changed(context, %Context{standing: %{owed: owed}} = ready, [[], [], []], _assigns) when owed != :reset do
    ready = if ready.error == nil and owed == nil, do: ready, else: Standing.owes(%{ready | error: nil}, nil)
    if ready == context, do: :unchanged, else: {:written, ready}
  end

  defp send_changed(_context, ready, changed, assigns) do
    Telemetry.span(:stash, ready, fn ->
      with {:ok, context, changed} <- send_reset(ready, changed, assigns),
           {:ok, context, refused} <- send_pairs(context, changed),
           :ok <- await(context) do
        measurements = %{
          keys: length(Enum.concat(changed)) - map_size(refused),
          refused: map_size(refused)
        }

        {{:written, context}, measurements, %{result: :accepted}}
      else
        {:error, error, context} -> not_accepted(error, context)
      end
    end)
  end

  # Whatever is stored: from then on everything is stashed, defaults too.
  defp to_reset(context), do: Standing.owes(%{context | defaults: %Defaults{}}, :reset)

  # A reset that failed, or was not taken, comes before what was stashed after it; and after it everything has changed.
  defp send_reset(%Context{standing: %{owed: :reset}} = context, _changed, assigns) do
    with {:ok, context} <- send_reset(context), do: {:ok, context, changed(context, assigns)}
  end

  defp send_reset(context, changed, _assigns), do: {:ok, context, changed}

  defp send_reset(%Context{standing: %{owed: :reset}} = context) do
    case Session.reset(context.session) do
      {:ok, op} -> {:ok, Standing.sent(Standing.owes(%{context | kept: %{}, refused: %{}}, :state), op)}
      {:error, error} -> Context.failed(context, error)
    end
  end

  defp send_pairs(context, [session, tab, shared] = changed) do
    case Session.stash(context.session, named(session, context), named(tab, context), named(shared, context)) do
      {:ok, op, refusals} ->
        context = Standing.sent(context, op)
        sent = Enum.concat(changed)
        refused = refused(sent, refusals)
        report(context, refused)
        discreet = Map.new(refused, fn {key, error} -> {key, Error.discreet(error)} end)
        context = context |> Context.accepted(sent, discreet) |> Standing.owes(nil)
        {:ok, Peers.tell(context, Keyword.drop(sent, Map.keys(refused))), refused}

      {:error, error} ->
        Context.failed(context, error)
    end
  end

  # A default is marked as one: it is set where nothing is stored by then.
  defp named(pairs, context) do
    for {key, term} <- pairs do
      name = Atom.to_string(key)
      if Defaults.default?(context.defaults, key, term), do: {name, term, :default}, else: {name, term}
    end
  end

  defp refused(sent, refusals) do
    for {key, _term} <- sent,
        {_name, kind, message} <- [List.keyfind(refusals, Atom.to_string(key), 0)],
        into: %{},
        do: {key, Error.new(kind, message)}
  end

  defp report(context, refused) do
    for {key, error} <- refused do
      Telemetry.refused_value(context, key, Error.discreet(error))

      if context.session.engine.on_invalid_value == :raise do
        raise ArgumentError,
              "#{inspect(context.view)} cannot stash the assign #{inspect(key)}: #{error.message}"
      end
    end
  end

  defp await(%Context{options: %{durability: :async}}), do: :ok

  defp await(%Context{options: %{durability: :await}} = context) do
    with {:error, error} <- await_saved(context, @await_timeout),
         do: {:error, error, context}
  end

  defp given_up do
    Error.new(:unavailable, "A write was given up; the next stash sends everything again")
  end

  @spec not_accepted(Error.t(), Context.t()) :: {{:written, Context.t()}, map(), map()}
  defp not_accepted(error, context) do
    {{:written, context}, %{}, %{result: :error, kind: error.kind, error: error}}
  end
end
