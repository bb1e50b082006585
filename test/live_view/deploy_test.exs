Code.require_file("support/live_view_case.exs", __DIR__)

defmodule DurableStash.LiveView.DeployTest do
  use DurableStash.LiveViewCase

  describe "over a deploy" do
    test "a page that rejoins the new engine gets back what the old one was stashing", %{
      browser: browser,
      engine: engine
    } do
      page = browser |> Browser.load("/draft") |> Page.connect()
      page |> Page.stash(%{"count" => 1, "draft" => "Dear"}) |> Page.disconnect()
      restart_engine(engine)

      assert %{"mounted" => "recovered", "count" => "1", "draft" => "Dear"} =
               page |> Page.connect() |> Page.shown()
    end

    test "two tabs come back with their own drafts", %{browser: browser, engine: engine} do
      one =
        browser
        |> Browser.load("/draft")
        |> Page.connect()
        |> Page.stash(%{"count" => 1, "draft" => "one"})

      two = browser |> Browser.load("/draft") |> Page.connect() |> Page.stash(%{"draft" => "two"})
      Enum.each([one, two], &Page.disconnect/1)
      restart_engine(engine)

      assert %{"count" => "1", "draft" => "one"} = one |> Page.connect() |> Page.shown()
      assert %{"count" => "1", "draft" => "two"} = two |> Page.connect() |> Page.shown()
    end

    test "a page that is loaded anew gets what is the session's", %{
      browser: browser,
      engine: engine
    } do
      page =
        browser
        |> Browser.load("/draft")
        |> Page.connect()
        |> Page.stash(%{"count" => 1, "draft" => "Dear"})

      Page.disconnect(page)
      restart_engine(engine)

      assert %{"count" => "1", "draft" => ""} =
               browser |> Browser.load("/draft") |> Page.connect() |> Page.shown()
    end
  end

  describe "a LiveView that lives on over a restart of the engine" do
    setup %{browser: browser} do
      %{
        page:
          browser
          |> Browser.load("/draft")
          |> Page.connect()
          |> Page.save(%{"count" => 1, "draft" => "Dear"})
      }
    end

    test "stashes to the new one", %{page: page, engine: engine} do
      restart_engine(engine)
      Page.save(page, %{"count" => 2})
      restart_engine(engine)

      assert %{"count" => "2", "draft" => "Dear"} = page |> Page.connect() |> Page.shown()
    end

    test "sends everything again, should the store have lost it", %{
      page: page,
      engine: engine,
      store: store
    } do
      stop_supervised!(engine)
      TestBackend.reset(store)
      start_engine(engine)
      Page.save(page, %{"count" => 2})

      assert %{"count" => "2", "draft" => "Dear"} = page |> Page.connect() |> Page.shown()
    end

    test "keeps its state while there is none, and stashes it when there is", %{
      page: page,
      engine: engine
    } do
      stop_supervised!(engine)

      page
      |> Page.stash(%{"count" => 2})
      |> Page.stash(%{"draft" => "Dear Sir"})
      |> Page.send_event("flush")

      assert %{"count" => "2", "draft" => "Dear Sir", "flushed" => "engine_down"} =
               Page.shown(page)

      start_engine(engine)
      Page.save(page, %{})
      assert %{"count" => "2", "draft" => "Dear Sir"} = page |> Page.connect() |> Page.shown()
    end
  end

  describe "a new version of a view" do
    setup do
      SomeAppWeb.release(vsn: 1)
    end

    test "migrates what the old one stashed, at the rejoin of a page", %{browser: browser} do
      page =
        browser
        |> Browser.load("/versioned")
        |> Page.connect()
        |> Page.save(%{"count" => 1, "draft" => "Dear"})

      SomeAppWeb.release(vsn: 2, migrate: &__MODULE__.tenfold/2)

      page = Page.connect(page)

      assert %{"mounted" => "recovered", "count" => "10", "draft" => "Dear, from 1"} =
               Page.shown(page)

      page |> Page.stash(%{}) |> Page.disconnect()

      assert %{"mounted" => "recovered", "count" => "10", "draft" => "Dear, from 1"} =
               page |> Page.connect() |> Page.shown()
    end

    test "migrates at the dead render of a page that is loaded anew", %{browser: browser} do
      browser
      |> Browser.load("/versioned")
      |> Page.connect()
      |> Page.save(%{"count" => 1, "draft" => "Dear"})

      SomeAppWeb.release(vsn: 2, migrate: &__MODULE__.tenfold/2)

      page = Browser.load(browser, "/versioned")
      assert %{"mounted" => "recovered", "count" => "10", "draft" => ""} = Page.shown(page)

      assert %{"mounted" => "recovered", "count" => "10", "draft" => ""} =
               page |> Page.connect() |> Page.shown()
    end

    test "leaves what the old one stashed as it is, for a rollback", %{browser: browser} do
      page =
        browser
        |> Browser.load("/versioned")
        |> Page.connect()
        |> Page.save(%{"count" => 1, "draft" => "Dear"})

      SomeAppWeb.release(vsn: 2, migrate: &__MODULE__.tenfold/2)
      page = page |> Page.connect() |> Page.save(%{"count" => 50, "draft" => "new"})

      SomeAppWeb.release(vsn: 1)
      page = Page.connect(page)
      assert %{"mounted" => "recovered", "count" => "1", "draft" => "Dear"} = Page.shown(page)
      Page.save(page, %{"count" => 2})

      SomeAppWeb.release(vsn: 2, migrate: &__MODULE__.tenfold/2)

      assert %{"mounted" => "recovered", "count" => "50", "draft" => "new"} =
               page |> Page.connect() |> Page.shown()
    end

    test "starts from its defaults without a migration", %{browser: browser} do
      page =
        browser
        |> Browser.load("/versioned")
        |> Page.connect()
        |> Page.save(%{"count" => 1, "draft" => "Dear"})

      SomeAppWeb.release(vsn: 2)

      assert %{"mounted" => "not_found", "count" => "0", "draft" => ""} =
               page |> Page.connect() |> Page.shown()
    end

    test "whose migration raises, returns no map or never ends is an error, and the page works",
         %{browser: browser, engine: engine} do
      restart_engine(engine, recover_timeout: 200)

      page =
        browser
        |> Browser.load("/versioned")
        |> Page.connect()
        |> Page.save(%{"count" => 1, "draft" => "Dear"})

      for migrate <- [&__MODULE__.raises/2, &__MODULE__.no_map/2, &__MODULE__.hangs/2] do
        SomeAppWeb.release(vsn: 2, migrate: migrate)

        assert {_migrate, %{"mounted" => "error", "count" => "0", "draft" => ""}} =
                 {migrate, page |> Page.connect() |> Page.shown()}
      end

      SomeAppWeb.release(vsn: 2, migrate: &__MODULE__.tenfold/2)
      assert %{"mounted" => "recovered", "count" => "10"} = page |> Page.connect() |> Page.shown()
    end
  end

  def tenfold(from, stored) do
    for {name, value} <- stored,
        into: %{},
        do: {name, if(is_integer(value), do: 10 * value, else: from(value, from))}
  end

  def raises(_from, _stored), do: raise("this migration is broken")
  def no_map(_from, _stored), do: :no_map
  def hangs(_from, _stored), do: Process.sleep(:infinity)

  defp from("Dear", from), do: "Dear, from #{from}"
  defp from(value, _from), do: value
end
