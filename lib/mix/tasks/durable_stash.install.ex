defmodule Mix.Tasks.DurableStash.Install.Docs do
  @moduledoc false

  @doc false
  def long do
    """
    Sets a Phoenix application up for DurableStash.

        mix durable_stash.install
        mix durable_stash.install --backend disk

    With [Igniter](https://github.com/ash-project/igniter) among the application's dependencies it edits the files and shows what it
    changed before it writes. Without it, it says what to put where, and what is there already; it writes nothing.

    What is set up: the adapter in `config/config.exs`, a store and a secret in `config/dev.exs`, `config/test.exs` and
    `config/runtime.exs`, the plug that gives every browser session an id in the router's `:browser` pipeline, and the disk's folder
    in `.gitignore`.

    ## Options

      * `--backend`: where production stores, `s3` (the default; the bucket's name is read from `DURABLE_STASH_BUCKET`) or `disk`
        (the folder is read from `DURABLE_STASH_PATH`). Either reads its secret from `DURABLE_STASH_SECRET`.
    """
  end
end

if Code.ensure_loaded?(Igniter.Mix.Task) do
  defmodule Mix.Tasks.DurableStash.Install do
    @shortdoc "Sets a Phoenix application up for DurableStash"
    @moduledoc Mix.Tasks.DurableStash.Install.Docs.long()

    use Igniter.Mix.Task

    alias DurableStash.Installation
    alias Igniter.Code
    alias Igniter.Project.Config

    @impl Igniter.Mix.Task
    def info(_arguments, _composing_task) do
      %Igniter.Mix.Task.Info{
        group: :durable_stash,
        example: "mix durable_stash.install --backend disk",
        schema: [backend: :string],
        defaults: [backend: "s3"]
      }
    end

    @impl Igniter.Mix.Task
    def igniter(igniter) do
      backend =
        case Installation.backend(igniter.args.options[:backend]) do
          {:ok, backend} -> backend
          {:error, message} -> Mix.raise(message)
        end

      environment = code(~s|System.fetch_env!("DURABLE_STASH_SECRET")|)

      igniter
      |> Config.configure("config.exs", :live_stash, [:adapters], [DurableStash],
        updater: &Code.List.append_new_to_list(&1, DurableStash)
      )
      |> Config.configure_new("dev.exs", :durable_stash, [:secret], Installation.secret())
      |> Config.configure_new("test.exs", :durable_stash, [:backend], DurableStash.TestBackend)
      |> Config.configure_new("test.exs", :durable_stash, [:secret], Installation.secret())
      |> runtime(:backend, code(Installation.backend_code(backend)))
      |> runtime(:secret, environment)
      |> ensure_session_id()
      |> ignore_folder()
    end

    defp ignore_folder(igniter) do
      Igniter.create_or_update_file(igniter, ".gitignore", Installation.ignored(""), fn source ->
        Rewrite.Source.update(source, :content, &Installation.ignored/1)
      end)
    end

    # What the application says already stays.
    defp runtime(igniter, key, value),
      do: Config.configure_runtime_env(igniter, :prod, :durable_stash, [key], value, updater: &{:ok, &1})

    defp ensure_session_id(igniter) do
      case Igniter.Libs.Phoenix.select_router(igniter) do
        {igniter, nil} ->
          Igniter.add_warning(igniter, "There is no router: put `plug DurableStash.Plug` after `plug :fetch_session`.")

        {igniter, router} ->
          Igniter.Project.Module.find_and_update_module!(igniter, router, &plug/1)
      end
    end

    defp plug(router) do
      with :error <- Code.Function.move_to_function_call(router, :plug, [1, 2], &names_plug?/1),
           {:ok, pipeline} <-
             Code.Function.move_to_function_call(router, :pipeline, 2, &Code.Function.argument_equals?(&1, 0, :browser)),
           {:ok, block} <- Code.Common.move_to_do_block(pipeline),
           {:ok, fetched} <-
             Code.Function.move_to_function_call_in_current_scope(
               block,
               :plug,
               [1, 2],
               &Code.Function.argument_equals?(&1, 0, :fetch_session)
             ) do
        {:ok, Code.Common.add_code(fetched, "plug DurableStash.Plug", placement: :after)}
      else
        {:ok, _there_already} ->
          {:ok, router}

        :error ->
          {:warning, "The router has no pipeline with `plug :fetch_session`: put `plug DurableStash.Plug` after it."}
      end
    end

    defp names_plug?(call),
      do: Enum.any?([DurableStash.Plug, :ensure_session_id], &Code.Function.argument_equals?(call, 0, &1))

    defp code(text), do: {:code, Sourceror.parse_string!(text)}
  end
else
  defmodule Mix.Tasks.DurableStash.Install do
    @shortdoc "Says how to set a Phoenix application up for DurableStash"
    @moduledoc Mix.Tasks.DurableStash.Install.Docs.long()

    use Mix.Task

    @impl Mix.Task
    def run(arguments) do
      case DurableStash.Installation.instructions(arguments, File.cwd!()) do
        {:ok, instructions} -> Mix.shell().info(instructions)
        {:error, message} -> Mix.raise(message)
      end
    end
  end
end
