defmodule DurableStash.InstallationTest do
  use ExUnit.Case, async: true

  alias DurableStash.Installation

  @moduletag :tmp_dir

  @router """
  defmodule SomeAppWeb.Router do
    use SomeAppWeb, :router

    pipeline :browser do
      plug :accepts, ["html"]
      plug :fetch_session
    end
  end
  """

  defp write(root, file, content) do
    path = Path.join(root, file)
    File.mkdir_p!(Path.dirname(path))
    File.write!(path, content)
  end

  defp open(root, backend \\ :s3), do: for(%{done?: false} = step <- Installation.steps(root, backend), do: step)
  defp step(root, file), do: Enum.find(Installation.steps(root, :s3), &(&1.file == file))

  setup %{tmp_dir: root} do
    write(root, "lib/some_app_web/router.ex", @router)
    write(root, "lib/some_app_web/api_router.ex", "defmodule SomeAppWeb.ApiRouter do\nend\n")
    write(root, "config/config.exs", "import Config\n")
    :ok
  end

  test "a new application has everything before it", %{tmp_dir: root} do
    assert Enum.map(open(root), & &1.file) == [
             "config/config.exs",
             "config/dev.exs",
             "config/test.exs",
             "config/runtime.exs",
             "lib/some_app_web/router.ex",
             ".gitignore"
           ]
  end

  test "an application that did as it was told is done, whatever else its files say", %{tmp_dir: root} do
    for %{file: file, code: code} <- open(root) do
      before = if File.exists?(Path.join(root, file)), do: File.read!(Path.join(root, file)), else: ""
      write(root, file, before <> code)
    end

    assert open(root) == []
    assert Installation.instructions(Installation.steps(root, :s3)) =~ "Nothing is left to do"
  end

  test "another adapter, another application's config and another plug are not taken for it", %{tmp_dir: root} do
    ets = "config :live_stash, adapters: [LiveStash.Adapters.ETS]\n"
    write(root, "config/config.exs", ets <> "config :durable_stash, backend: DurableStash.TestBackend\n")
    write(root, "config/dev.exs", "config :durable_stash_admin, secret: \"another\"\n")
    assert Enum.map(open(root), & &1.file) |> Enum.take(2) == ["config/config.exs", "config/dev.exs"]

    write(root, "config/config.exs", "config :live_stash,\n  adapters: [LiveStash.Adapters.ETS, DurableStash]\n")
    assert step(root, "config/config.exs").done?
  end

  test "what it says to write is code that configures what DurableStash takes", %{tmp_dir: root} do
    for backend <- [:s3, :disk], %{file: "config/" <> _ = file, code: code} <- open(root, backend) do
      environment = %{
        "DURABLE_STASH_SECRET" => Installation.secret(),
        "DURABLE_STASH_BUCKET" => "b",
        "DURABLE_STASH_PATH" => "p"
      }

      code =
        for {name, value} <- environment,
            reduce: code,
            do: (code -> String.replace(code, ~s|System.fetch_env!("#{name}")|, inspect(value)))

      path = Path.join(root, "evaluated.exs")
      File.write!(path, "import Config\n" <> code)
      config = Config.Reader.read!(path, env: :prod)

      case file do
        "config/config.exs" -> assert config == [live_stash: [adapters: [DurableStash]]]
        _store -> assert %DurableStash.Config{} = DurableStash.Config.new!(config[:durable_stash])
      end
    end
  end

  test "secrets are long enough, and no two are the same", %{tmp_dir: root} do
    secrets = for _time <- 1..3, do: Installation.secret()
    assert Enum.all?(secrets, &(byte_size(&1) >= 32))
    assert secrets == Enum.uniq(secrets)
    assert step(root, "config/dev.exs").code != step(root, "config/dev.exs").code
  end

  test "production's secret is read when it runs, and nothing is written", %{tmp_dir: root} do
    before = Path.wildcard(Path.join(root, "**"))
    runtime = step(root, "config/runtime.exs").code
    assert runtime =~ ~s|System.fetch_env!("DURABLE_STASH_SECRET")|
    assert runtime =~ ~s|{:s3, bucket: System.fetch_env!("DURABLE_STASH_BUCKET")}|
    assert Path.wildcard(Path.join(root, "**")) == before
  end

  test "the instructions name each file with its code, indented", %{tmp_dir: root} do
    text = Installation.instructions(Installation.steps(root, :disk))
    assert text =~ "config/config.exs: Name the adapter\n\n    config :live_stash, adapters: [DurableStash]\n"

    assert text =~
             "lib/some_app_web/router.ex: Give every browser session an id, after :fetch_session\n\n    plug DurableStash.Plug\n"

    assert text =~ ~s|        backend: {:disk, path: System.fetch_env!("DURABLE_STASH_PATH")}|
    refute text =~ ~r/[ \t]+$/m
  end

  test "a step that is done is named as such", %{tmp_dir: root} do
    write(root, ".gitignore", "/durable_stash_data/\n")
    {:ok, text} = Installation.instructions(["--backend", "disk"], root)
    assert text =~ "  * .gitignore: Keep the disk's folder out of the repository (done)\n"
    assert text =~ "DURABLE_STASH_PATH"
    {:ok, text} = Installation.instructions([], root)
    assert text =~ "DURABLE_STASH_BUCKET"
  end

  test "the folder is added to .gitignore once, on a line of its own" do
    line = "/durable_stash_data/\n"

    for {before, ignored} <- [{"", line}, {"/_build/\n", "/_build/\n" <> line}, {"/_build/", "/_build/\n" <> line}] do
      assert Installation.ignored(before) == ignored
      assert Installation.ignored(ignored) == ignored
    end
  end

  test "an argument that the task does not take is an error of Mix's, which names it", %{tmp_dir: root} do
    for {arguments, message} <- [
          {["--backend", "redis"], "--backend takes s3 or disk, got: redis"},
          {["--store", "s3"], "takes --backend s3 or --backend disk, got: --store s3"},
          {["s3"], "takes --backend s3 or --backend disk, got: s3"}
        ] do
      assert {:error, "mix durable_stash.install" <> _says} = Installation.instructions(arguments, root)
      assert_raise Mix.Error, ~r/#{message}/, fn -> Mix.Tasks.DurableStash.Install.run(arguments) end
    end
  end

  test "mix knows the task" do
    assert Mix.Task.get("durable_stash.install") == Mix.Tasks.DurableStash.Install
    assert Mix.Task.shortdoc(Mix.Tasks.DurableStash.Install) =~ "DurableStash"
  end
end
