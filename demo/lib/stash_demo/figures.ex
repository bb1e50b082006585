defmodule StashDemo.Figures do
  @moduledoc """
  What the store was asked to do for each browser session, counted from the library's telemetry since this server started.

  `subscribe/1` sends `{:figures, figures}` to the calling process after each commit.
  """

  use GenServer

  @handler "stash_demo.figures"

  @type t :: %{
          revision: pos_integer() | nil,
          puts: non_neg_integer(),
          stashes: non_neg_integer(),
          saved_in_ms: non_neg_integer() | nil,
          bytes: non_neg_integer()
        }

  @none %{revision: nil, puts: 0, stashes: 0, saved_in_ms: nil, bytes: 0}

  @doc "The figures of the browser session with this id."
  @spec of(sid :: String.t()) :: t()
  def of(sid) do
    case :ets.lookup(__MODULE__, object(sid)) do
      [{_object, figures}] -> figures
      [] -> @none
    end
  end

  @doc "Asks for a message after each commit of this browser session."
  @spec subscribe(sid :: String.t()) :: :ok
  def subscribe(sid), do: Phoenix.PubSub.subscribe(StashDemo.PubSub, topic(object(sid)))

  def start_link(_options), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @impl GenServer
  def init(_argument) do
    :ets.new(__MODULE__, [:named_table, :public, read_concurrency: true])
    :ok = :telemetry.attach(@handler, [:durable_stash, :commit], &__MODULE__.committed/4, nil)
    {:ok, nil}
  end

  @doc false
  # Called in the engine's process, one commit after the other.
  def committed(_event, commit, %{rev: revision, session: object}, _config) do
    before =
      case :ets.lookup(__MODULE__, object) do
        [{^object, figures}] -> figures
        [] -> @none
      end

    figures = %{
      revision: revision,
      puts: before.puts + commit.attempts,
      stashes: before.stashes + commit.ops,
      saved_in_ms: commit.age_ms,
      bytes: commit.bytes
    }

    :ets.insert(__MODULE__, {object, figures})
    Phoenix.PubSub.broadcast(StashDemo.PubSub, topic(object), {:figures, figures})
  end

  # Events name a session by the start of its object's name, which is an HMAC of the session's id.
  defp object(sid) do
    secret = Application.fetch_env!(:durable_stash, :secret)

    :crypto.mac(:hmac, :sha256, secret, "durable_stash:v1:" <> sid)
    |> Base.encode16(case: :lower)
    |> binary_part(0, 8)
  end

  defp topic(object), do: "figures:" <> object
end
