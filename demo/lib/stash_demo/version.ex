defmodule StashDemo.Version do
  @moduledoc """
  Which version of the page this server runs. A real deploy brings new code; here both versions come from one source, and the
  one that was not compiled beforehand is compiled when the server starts.
  """

  @doc "The version that is running, or being compiled."
  @spec current() :: 1 | 2
  def current, do: Application.get_env(:stash_demo, :version, 1)

  @doc "The version that a deploy would bring."
  @spec next() :: 1 | 2
  def next, do: 3 - current()

  @doc "Loads the page's modules in the current version."
  @spec load() :: :ok
  def load do
    page = StashDemoWeb.PageLive

    if page.version() != current() do
      before = Code.get_compiler_option(:ignore_module_conflict)
      Code.put_compiler_option(:ignore_module_conflict, true)
      Code.compile_file(to_string(page.module_info(:compile)[:source]))
      Code.put_compiler_option(:ignore_module_conflict, before)
    end

    :ok
  end
end
