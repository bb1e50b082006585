Code.require_file("support/live_view_case.exs", __DIR__)

defmodule DurableStash.LiveView.ForgeryTest do
  # Connect params are unsigned: a client may send anything.
  use DurableStash.LiveViewCase

  describe "_mounts" do
    setup %{browser: browser} do
      %{
        page:
          browser
          |> Browser.load("/draft")
          |> Page.connect()
          |> Page.save(%{"count" => 1, "draft" => "Dear"})
      }
    end

    test "that is no positive integer is a fresh mount", %{page: page} do
      for mounts <- ["1", -3, 1.5, 0, nil, true, [], [1], %{}, %{"1" => 1}, "", "Infinity"] do
        mounted = Page.connect(page, %{"_mounts" => mounts})

        assert {_mounts, %{"mounted" => "recovered", "count" => "1", "draft" => ""}} =
                 {mounts, state(mounted)}

        assert is_binary(Page.nonce(mounted))
      end
    end

    test "may be any positive integer", %{page: page} do
      for mounts <- [1, 2, 1_000_000, Integer.pow(10, 40)] do
        assert {^mounts, %{"draft" => "Dear"}} =
                 {mounts, page |> Page.connect(%{"_mounts" => mounts}) |> state()}
      end
    end

    test "of a page that was never mounted recovers what any fresh mount would", %{
      browser: browser
    } do
      page = browser |> Browser.load("/draft") |> Page.connect(%{"_mounts" => 1})
      assert %{"mounted" => "recovered", "count" => "1", "draft" => ""} = state(page)
    end
  end

  describe "a stash id" do
    setup %{browser: browser} do
      %{
        page:
          browser
          |> Browser.load("/draft")
          |> Page.connect()
          |> Page.save(%{"count" => 1, "draft" => "Dear"})
      }
    end

    test "fault_69: that no server minted opens an empty tab and harms nobody", %{
      browser: browser,
      page: page
    } do
      ids = [
        nil,
        1,
        "",
        "short",
        "../../../etc/passwd",
        String.duplicate("x", 1_000_000),
        "with spaces in the middle",
        "0123456789abcdef\n",
        "ünïcödé-ünïcödé-ünï",
        <<255, 254, 253>>,
        ["0123456789abcdefghijkl"],
        %{"stashId" => "0123456789abcdefghijkl"},
        "0123456789abcdefghijkl"
      ]

      for id <- ids do
        mounted =
          browser
          |> Browser.load("/draft")
          |> Page.connect(%{"liveStash" => %{"stashId" => id}, "_mounts" => 1})

        assert {_id, %{"mounted" => "recovered", "count" => "1", "draft" => ""}} =
                 {id, state(mounted)}

        Page.save(mounted, %{"draft" => "forged"})
      end

      assert %{"count" => "1", "draft" => "Dear"} = page |> Page.connect() |> state()
    end

    test "is not looked for in what is no map", %{page: page} do
      for forged <- [nil, 1, "text", [], [1], %{}, %{"stashId" => %{}}, %{"node" => "x"}] do
        assert {_forged, %{"mounted" => "recovered"}} =
                 {forged, page |> Page.connect(%{"liveStash" => forged}) |> state()}

        assert {_forged, %{"mounted" => "recovered"}} =
                 {forged, page |> Page.connect(%{"liveStash" => forged, "_mounts" => 0}) |> state()}
      end
    end

    test "fault_69: of another browser's tab opens nothing of it", %{page: page} do
      forged = Browser.start() |> Browser.load("/draft") |> Page.connect()
      forged = Page.connect(%{forged | memory: page.memory})
      assert %{"mounted" => "not_found", "count" => "0", "draft" => ""} = state(forged)

      Page.save(forged, %{"count" => 9, "draft" => "forged"})
      assert %{"count" => "1", "draft" => "Dear"} = page |> Page.connect() |> state()
    end

    test "at a fresh mount is not believed", %{browser: browser, page: page} do
      forged = browser |> Browser.load("/draft") |> Page.connect(%{"liveStash" => page.memory})
      assert %{"mounted" => "recovered", "count" => "1", "draft" => ""} = state(forged)
      assert Page.nonce(forged) != page.memory["stashId"]

      Page.save(forged, %{"draft" => "forged"})
      assert %{"draft" => "Dear"} = page |> Page.connect() |> state()
    end
  end

  test "no connect params at all is a fresh mount", %{browser: browser} do
    page =
      browser
      |> Browser.load("/draft")
      |> Page.connect()
      |> Page.save(%{"count" => 1, "draft" => "Dear"})

    assert %{"mounted" => "recovered", "count" => "1", "draft" => ""} =
             page |> Page.connect(nil) |> state()
  end

  test "fault_69: another browser's page opens one's own session", %{browser: browser} do
    page =
      browser
      |> Browser.load("/draft")
      |> Page.connect()
      |> Page.save(%{"count" => 1, "draft" => "Dear"})

    thief = Browser.start()

    own =
      thief
      |> Browser.load("/draft")
      |> Page.connect()
      |> Page.save(%{"count" => 2, "draft" => "own"})

    stolen = Page.connect(%{page | session: own.session})
    assert %{"mounted" => "recovered", "count" => "2", "draft" => ""} = state(stolen)
    Page.save(stolen, %{"draft" => "stolen"})

    assert %{"count" => "1", "draft" => "Dear"} = page |> Page.connect() |> state()
    assert %{"count" => "2", "draft" => "own"} = own |> Page.connect() |> state()
  end

  test "fault_69: a session id that is none is an error, and the page works", %{browser: browser} do
    page = Browser.load(browser, "/draft")

    for sid <- [nil, "", 1, <<255>>, String.duplicate("x", 513), %{}] do
      mounted = Page.connect(%{page | session: %{"sid" => sid}})
      assert {_sid, %{"mounted" => "error"}} = {sid, state(mounted)}
      assert %{"count" => "1"} = mounted |> Page.stash(%{"count" => 1}) |> state()
    end
  end

  test "a session id may be any text", %{browser: browser} do
    page = Browser.load(browser, "/draft")

    for sid <- ["../../x", "a b", "\0", "é", "e\u0301", String.duplicate("x", 512)] do
      page = Page.connect(%{page | session: %{"sid" => sid}, memory: %{}, mounts: 0})
      assert {_sid, %{"mounted" => "not_found"}} = {sid, state(page)}
      Page.save(page, %{"draft" => sid})
      assert {^sid, %{"mounted" => "recovered"}} = {sid, page |> Page.connect() |> state()}
    end
  end

  defp state(page), do: Map.take(Page.shown(page), ["mounted", "count", "draft"])
end
