defmodule DurableStash.AdapterContractTest do
  # The contract is judged by an adapter that others wrote: LiveStash's own. It is where the real packages are.
  use ExUnit.Case, async: true

  @moduletag :live_view

  use DurableStash.AdapterContract, stash: &__MODULE__.contract_stash/2

  def contract_stash(_context, keys), do: [adapter: LiveStash.Adapters.ETS, stored_keys: keys]
end
