defmodule DurableStash.LiveViewCase do
  @moduledoc """
  A test with a browser, a Phoenix application (`SomeAppWeb`) and an engine over a store of its own.

  The application needs the real packages, so it is loaded only where they are. The tests compile in both worlds, and with
  the stand-ins they are left out and counted.

  `@tag engine: [...]` gives the engine options, `@tag engine: false` none.
  """

  use ExUnit.CaseTemplate

  alias DurableStash.Case
  alias DurableStash.TestBackend

  # What needs the real packages, in the order in which it is loaded.
  @files ~w(some_app_web.exs connection.exs page.exs browser.exs)
  @modules [SomeAppWeb, SomeAppWeb.Endpoint, DurableStash.Browser, DurableStash.Browser.Page]

  # Views name their engine at compile time, so all tests share one name, and no two run side by side.
  @engine SomeApp.Stashes

  using do
    quote do
      import DurableStash.Case,
        only: [
          document: 1,
          observe: 2,
          restart_engine: 1,
          restart_engine: 2,
          start_engine: 1,
          start_engine: 2
        ]

      import DurableStash.LiveViewCase

      alias DurableStash.Browser
      alias DurableStash.Browser.Page
      alias DurableStash.Engine
      alias DurableStash.Error
      alias DurableStash.TestBackend

      @moduletag :live_view
      @moduletag :capture_log
      @compile {:no_warn_undefined, unquote(@modules)}
    end
  end

  setup_all do
    Enum.each(@files, &Code.require_file(&1, __DIR__))
    start_supervised!(SomeAppWeb.Endpoint)
    :ok
  end

  setup context do
    TestBackend.reset(@engine)
    if options = Map.get(context, :engine, []), do: Case.start_engine(@engine, options)
    on_exit(fn -> TestBackend.reset(@engine) end)
    %{browser: start_supervised!(DurableStash.Browser), engine: @engine, store: @engine}
  end

  @doc "What the store's only document holds of a view's first version."
  def slice(store, view, vsn \\ 1) do
    Case.document(store).views
    |> Map.fetch!(Atom.to_string(view))
    |> Map.fetch!(Integer.to_string(vsn))
  end

  @doc "Waits until `condition` holds. Fails the test after two seconds."
  def await(condition, attempts \\ 200) do
    cond do
      condition.() -> :ok
      attempts == 0 -> flunk("what was awaited did not come about within two seconds")
      true -> Process.sleep(10) && await(condition, attempts - 1)
    end
  end
end
