defmodule DurableStash.Installation do
  @moduledoc false
  # What a Phoenix application needs before it can use DurableStash, and what of it is there already. Files are looked at and
  # never written.

  @type backend :: :s3 | :disk
  @type step :: %{what: String.t(), file: String.t(), code: String.t(), done?: boolean()}

  @task "mix durable_stash.install"

  # The disk backend's default folder, for `.gitignore`.
  @ignored "/durable_stash_data/\n"

  @doc "What the task says that cannot write, or what is wrong with its arguments."
  @spec instructions([String.t()], Path.t()) :: {:ok, String.t()} | {:error, String.t()}
  def instructions(arguments, root) do
    case OptionParser.parse(arguments, strict: [backend: :string]) do
      {options, [], []} ->
        with {:ok, backend} <- backend(options[:backend] || "s3"),
             do: {:ok, root |> steps(backend) |> instructions()}

      _something_else ->
        {:error, "#{@task} takes --backend s3 or --backend disk, got: #{Enum.join(arguments, " ")}"}
    end
  end

  @doc "Reads the backend's name, or says what it takes."
  @spec backend(String.t()) :: {:ok, backend()} | {:error, String.t()}
  def backend("s3"), do: {:ok, :s3}
  def backend("disk"), do: {:ok, :disk}
  def backend(other), do: {:error, "#{@task}: --backend takes s3 or disk, got: #{other}"}

  @doc "What is to be in `.gitignore`, where this is in it: the disk's folder is kept out of the repository."
  @spec ignored(String.t()) :: String.t()
  def ignored(content) do
    cond do
      content =~ "durable_stash_data" -> content
      content == "" or String.ends_with?(content, "\n") -> content <> @ignored
      true -> content <> "\n" <> @ignored
    end
  end

  @doc "The steps, in order, for the application in this directory."
  @spec steps(Path.t(), backend()) :: [step()]
  def steps(root, backend) do
    router = router(root)

    [
      step(root, "Name the adapter", "config/config.exs", ~r/adapters:\s*\[[^\]]*\bDurableStash\b(?!\.)/, """
      config :live_stash, adapters: [DurableStash]
      """),
      step(root, "Store on disk in development", "config/dev.exs", ~r/config :durable_stash\b/, """
      config :durable_stash, secret: "#{secret()}"
      """),
      step(root, "Store in memory in tests", "config/test.exs", ~r/config :durable_stash\b/, """
      config :durable_stash, backend: DurableStash.TestBackend, secret: "#{secret()}"
      """),
      step(root, "Store in production", "config/runtime.exs", ~r/config :durable_stash\b/, """
      if config_env() == :prod do
        config :durable_stash,
          backend: #{backend_code(backend)},
          secret: System.fetch_env!("DURABLE_STASH_SECRET")
      end
      """),
      step(root, "Give every browser session an id, after :fetch_session", router, ~r/DurableStash\.Plug/, """
      plug DurableStash.Plug
      """),
      step(root, "Keep the disk's folder out of the repository", ".gitignore", ~r/durable_stash_data/, @ignored)
    ]
  end

  @doc "The steps as text, those that are done named only."
  @spec instructions([step()]) :: String.t()
  def instructions(steps) do
    {done, open} = Enum.split_with(steps, & &1.done?)
    done = Enum.map(done, &"  * #{&1.file}: #{&1.what} (done)\n")
    open = Enum.map(open, &"\n#{&1.file}: #{&1.what}\n\n#{indented(&1.code)}")
    IO.iodata_to_binary([done, open, "\n", closing(open)])
  end

  @doc "The environment variables that production needs, as code."
  @spec backend_code(backend()) :: String.t()
  def backend_code(:s3), do: ~s|{:s3, bucket: System.fetch_env!("DURABLE_STASH_BUCKET")}|
  def backend_code(:disk), do: ~s|{:disk, path: System.fetch_env!("DURABLE_STASH_PATH")}|

  @doc "A secret for development and tests."
  @spec secret() :: String.t()
  def secret, do: Base.url_encode64(:crypto.strong_rand_bytes(32), padding: false)

  defp step(root, what, file, done, code),
    do: %{what: what, file: file, code: code, done?: content(root, file) =~ done}

  defp content(root, file) do
    case File.read(Path.join(root, file)) do
      {:ok, content} -> content
      {:error, _reason} -> ""
    end
  end

  # The first one with a pipeline for browsers; where Phoenix would have put it if there is none.
  defp router(root) do
    routers = root |> Path.join("lib/**/*router.ex") |> Path.wildcard() |> Enum.map(&Path.relative_to(&1, root))
    Enum.find(routers, "lib/my_app_web/router.ex", &(content(root, &1) =~ "pipeline :browser"))
  end

  defp closing([]), do: "Nothing is left to do. Declare what is kept: see DurableStash's guide \"Getting started\".\n"

  defp closing(_open) do
    """
    Then declare what is kept, in a LiveView:

        use LiveStash, adapter: DurableStash, stored_keys: [filter: :session, note: :reconnect]

    The guide "Getting started" goes on from there.
    """
  end

  defp indented(code), do: String.replace(code, ~r/^(?=.)/m, "    ")
end
