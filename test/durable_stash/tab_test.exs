defmodule DurableStash.TabTest do
  use ExUnit.Case, async: true

  alias DurableStash.Tab
  alias Phoenix.LiveView.Socket

  @nonce "0123456789abcdefABCDEF"

  defp connected(params),
    do: %Socket{
      id: "phx-id",
      transport_pid: self(),
      private: %{connect_params: params, live_temp: %{}}
    }

  test "a socket without a transport is dead" do
    socket = %Socket{id: "phx-id", private: %{connect_params: %{}, live_temp: %{}}}
    assert %Tab{mount: :dead, id: "phx-id", announce?: false} = Tab.of(socket)
  end

  test "the first mount of a page with the client script mints a nonce, and announces it" do
    socket = connected(%{"_mounts" => 0, "liveStash" => %{}})
    tab = Tab.of(socket)
    assert %Tab{mount: :fresh, announce?: true} = tab
    assert tab.id =~ ~r/\A[A-Za-z0-9_-]{22}\z/
    assert Tab.of(socket).id != tab.id

    assert [["live-stash:init-redis", payload]] =
             Tab.announce(socket, tab).private.live_temp.push_events

    assert payload == %{stashId: tab.id}
  end

  test "a live navigation mints anew, though the page still echoes its former nonce" do
    tab = Tab.of(connected(%{"_mounts" => 0, "liveStash" => %{"stashId" => @nonce}}))
    assert %Tab{mount: :fresh, announce?: true} = tab
    assert tab.id != @nonce
  end

  test "a rejoin is in the tab whose nonce it echoes" do
    tab = Tab.of(connected(%{"_mounts" => 3, "liveStash" => %{"stashId" => @nonce}}))
    assert tab == %Tab{mount: :rejoin, id: @nonce, announce?: false}
  end

  test "without the client script the LiveView's id is the tab" do
    assert Tab.of(connected(%{"_mounts" => 0})) == %Tab{
             mount: :fresh,
             id: "phx-id",
             announce?: false
           }

    assert Tab.of(connected(%{"_mounts" => 1})) == %Tab{
             mount: :rejoin,
             id: "phx-id",
             announce?: false
           }
  end

  test "only an integer above 0 is a rejoin" do
    for mounts <- ["1", -3, 1.5, nil, true, [], %{}, 0, -0.0, "0"] do
      assert %Tab{mount: :fresh} = Tab.of(connected(%{"_mounts" => mounts}))
    end

    assert %Tab{mount: :fresh} = Tab.of(connected(%{}))
  end

  test "an echo that is no nonce is ignored" do
    bad = [
      nil,
      "",
      "short",
      String.duplicate("x", 65),
      String.duplicate("x", 1_000_000),
      "../../../../../../etc",
      @nonce <> "\n",
      "0123456789abcdef\0",
      "nönce-nönce-nönce",
      <<255>> <> @nonce,
      1,
      %{},
      [@nonce]
    ]

    for echo <- bad do
      assert %Tab{mount: :rejoin, id: "phx-id"} =
               Tab.of(connected(%{"_mounts" => 1, "liveStash" => %{"stashId" => echo}}))
    end

    for live_stash <- [nil, "x", [], 1] do
      assert %Tab{mount: :rejoin, id: "phx-id"} =
               Tab.of(connected(%{"_mounts" => 1, "liveStash" => live_stash}))
    end
  end

  test "params that are no map, or absent, are a fresh mount" do
    for params <- [nil, "params", [1], 7],
        do: assert(%Tab{mount: :fresh, id: "phx-id"} = Tab.of(connected(params)))

    socket = %Socket{id: "phx-id", transport_pid: self()}
    assert %Tab{mount: :fresh, id: "phx-id"} = Tab.of(socket)
  end
end
