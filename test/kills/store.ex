defmodule DurableStash.Kills.Store do
  @moduledoc """
  What a round's nodes share: the S3 server with faults, or a directory. Both keep every version of every object, which
  goes to the history when the nodes are gone.
  """

  alias DurableStash.Kills.Journal
  alias DurableStash.Kills.OsProcess

  @bucket "kills"
  @prefix "durable_stash/"

  @enforce_keys [:kind, :directory, :backend]
  defstruct [:kind, :directory, :backend, :server]

  @doc "What a node's engine is given of it."
  def config(%__MODULE__{backend: backend}), do: [backend: backend, prefix: @prefix]

  @doc "Starts it. `server` is the S3 server's program."
  def start(:disk, directory, _seed, _server) do
    # The backend keeps what it replaces there, where there is such a folder.
    File.mkdir_p!(kept(directory))
    %__MODULE__{kind: :disk, directory: directory, backend: {:disk, path: objects(directory)}}
  end

  def start(:s3, directory, seed, server) do
    plan = Path.join(directory, "plan.json")
    File.write!(plan, JSON.encode_to_iodata!(plan(seed)))
    arguments = ~w(--port 0 --until-stdin-closes --bucket #{@bucket} --plan #{plan} --dump #{versions(directory)})
    server = OsProcess.start("s3-server", server, arguments, directory)
    endpoint = OsProcess.await_line(server, "listening on ", 10_000)

    backend =
      {:s3,
       bucket: @bucket,
       endpoint: endpoint,
       region: "us-east-1",
       allow_http: true,
       access_key_id: "test",
       secret_access_key: "test"}

    %__MODULE__{kind: :s3, directory: directory, backend: backend, server: server}
  end

  @doc "Stops it when no node uses it any more, and returns the files in which its versions are told."
  def stop(%{kind: :s3, directory: directory, server: server}, _sessions) do
    OsProcess.signal(server, "TERM")
    0 = OsProcess.await_exit(server, 10_000)
    versions(directory)
  end

  def stop(%{kind: :disk, directory: directory}, sessions) do
    journal = Journal.open(versions(directory))
    log = directory |> kept() |> Path.join("log") |> File.read!() |> String.split("\n", trim: true)
    changes = log |> Enum.map(&String.split/1) |> Enum.group_by(&Enum.at(&1, 2))

    for {sid, object} <- sessions do
      texts = texts(directory, object)

      # What was announced and never came was the work of a process that was killed.
      for {["before", time, _name, replaced, etag], after_it} <- with_next(changes[flat(object)]), text = texts[etag] do
        Journal.put(
          journal,
          [s: sid, t: String.to_integer(time), until: at(after_it), etag: etag, replaces: etag(replaced), text: text],
          :version
        )
      end

      Journal.put(journal, [s: sid, text: File.read!(standing(directory, object))], :final)
    end

    versions(directory)
  end

  @doc "The name of a session's object, under the prefix."
  def object(secret, sid) do
    name = :crypto.mac(:hmac, :sha256, secret, "durable_stash:v1:" <> sid) |> Base.encode16(case: :lower)
    Path.join(binary_part(name, 0, 2), name)
  end

  # By etag, all that ever stood there.
  defp texts(directory, object) do
    replaced = Path.wildcard(Path.join(kept(directory), flat(object) <> ".*"))

    for path <- [standing(directory, object) | replaced], into: %{} do
      text = File.read!(path)
      {:crypto.hash(:sha256, text) |> Base.encode16(case: :lower), text}
    end
  end

  # Whatever was logged next was logged after it, if not by the process that made it.
  defp with_next(changes), do: Enum.zip(changes, tl(changes) ++ [nil])

  defp at(nil), do: Journal.now()
  defp at([_what, time | _rest]), do: String.to_integer(time)

  defp etag("-"), do: nil
  defp etag(etag), do: etag

  defp objects(directory), do: Path.join(directory, "objects")
  defp kept(directory), do: Path.join(objects(directory), "kept")
  defp standing(directory, object), do: Path.join([objects(directory), @prefix, object])
  defp flat(object), do: String.replace(object, "/", "_")
  defp versions(directory), do: Path.join(directory, "versions.jsonl")

  # Answers that are lost, and writes that arrive when nobody waits for them any more: of a node that died they are what it
  # leaves behind. The probe at the start of a node meets latency alone, or most of its short life would be spent on it.
  defp plan(seed) do
    any = %{key_lacks: "probe/"}
    put = Map.put(any, :operations, [:put_object])

    %{
      seed: rem(seed, 1_000_000_007),
      rules: [
        %{name: "committed late", on: put, chance: 0.01, fault: %{delay_before_ms: [100, 1_200]}},
        %{name: "committed, then reset", on: put, chance: 0.02, fault: %{after: :reset}},
        %{name: "committed, then 500", on: put, chance: 0.01, fault: %{after: :internal_error}},
        %{name: "reset", on: any, chance: 0.01, fault: %{before: :reset}},
        %{name: "slow down", on: any, chance: 0.01, fault: %{before: :slow_down}},
        %{name: "conflict", on: put, chance: 0.005, fault: %{before: :conflict}},
        %{name: "latency", fault: %{delay_before_ms: [0, 4], delay_after_ms: [0, 4]}}
      ]
    }
  end
end
