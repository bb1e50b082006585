defmodule DurableStash.NestedTest do
  # LiveViews that live_render/3 nests in others: LiveStash refuses them, DurableStash does not.
  use DurableStash.Case, async: true

  defp outer(engine), do: view(engine, stored_keys: [])

  defp chat(engine, stash \\ []) do
    stash = Keyword.merge([stored_keys: [:room, message: :reconnect]], stash)
    view(engine, stash, view: DurableStash.ChatLive, assigns: [room: "lobby", message: ""])
  end

  defp open(engine, session \\ Page.session()), do: Page.mount(Page.open(session), outer(engine))

  test "it gets its own back when the page rejoins", %{engine: engine} do
    {parent, page} = open(engine)
    chat = Page.nest(page, parent, "chat", chat(engine))
    LiveViewProcess.save(chat, room: "elixir", message: "Hel")

    {parent, page} = Page.mount(page, outer(engine))
    again = Page.nest(page, parent, "chat", chat(engine))
    assert LiveViewProcess.recovered(again) == :recovered
    assert %{room: "elixir", message: "Hel"} = LiveViewProcess.assigns(again)
  end

  test "a fresh page gets the session's, and a blank draft", %{engine: engine} do
    session = Page.session()
    {parent, page} = open(engine, session)
    chat = Page.nest(page, parent, "chat", chat(engine))
    LiveViewProcess.save(chat, room: "elixir", message: "Hel")

    {other_parent, other_page} = open(engine, session)
    other = Page.nest(other_page, other_parent, "chat", chat(engine))
    assert %{room: "elixir", message: ""} = LiveViewProcess.assigns(other)

    LiveViewProcess.save(other, message: "Mine")
    {parent, page} = Page.mount(page, outer(engine))
    assert %{message: "Hel"} = LiveViewProcess.assigns(Page.nest(page, parent, "chat", chat(engine)))
  end

  test "two of one module in a page share the session's, and have a draft each", %{engine: engine} do
    {parent, page} = open(engine)
    left = Page.nest(page, parent, "left", chat(engine))
    right = Page.nest(page, parent, "right", chat(engine))
    LiveViewProcess.save(left, room: "elixir", message: "to the left")
    LiveViewProcess.save(right, room: "elixir", message: "to the right")

    {parent, page} = Page.mount(page, outer(engine))
    assert %{room: "elixir", message: "to the left"} = nested(page, parent, "left", engine)
    assert %{room: "elixir", message: "to the right"} = nested(page, parent, "right", engine)
  end

  test "one that crashed alone comes back with its draft", %{engine: engine} do
    {parent, page} = open(engine)
    chat = Page.nest(page, parent, "chat", chat(engine))
    LiveViewProcess.save(chat, message: "Hel")
    LiveViewProcess.close(chat)
    again = Page.nest(page, parent, "chat", chat(engine), %{"_mounts" => 1})
    assert %{message: "Hel"} = LiveViewProcess.assigns(again)
  end

  test "one that is first shown after a reconnect starts blank", %{engine: engine} do
    {_parent, page} = open(engine)
    {parent, page} = Page.mount(page, outer(engine))
    chat = Page.nest(page, parent, "chat", chat(engine), %{"_mounts" => 1})
    assert LiveViewProcess.recovered(chat) == :not_found
    assert %{message: ""} = LiveViewProcess.assigns(chat)
  end

  test "one that is shown again in a page that has reconnected has its draft", %{engine: engine} do
    {parent, page} = open(engine)
    LiveViewProcess.save(Page.nest(page, parent, "chat", chat(engine)), message: "Hel")
    {parent, page} = Page.mount(page, outer(engine))
    assert %{message: "Hel"} = nested(page, parent, "chat", engine, %{"_mounts" => 0})
  end

  test "it tells the page no nonce: that is the page's own", %{engine: engine} do
    {parent, page} = open(engine)
    assert LiveViewProcess.pushed(Page.nest(page, parent, "chat", chat(engine))) == []
  end

  test "that of a superseded LiveView is superseded with its successor's mount", %{engine: engine} do
    {parent, page} = open(engine)
    zombie = Page.nest(page, parent, "chat", chat(engine))
    LiveViewProcess.save(zombie, message: "old")
    {parent, page} = Page.mount(page, outer(engine))
    chat = Page.nest(page, parent, "chat", chat(engine))
    LiveViewProcess.save(chat, message: "new")
    LiveViewProcess.stash(zombie, message: "undead")
    assert {:error, %Error{kind: :superseded}} = LiveViewProcess.flush(zombie)
    assert %{message: "new"} = nested(page, parent, "chat", engine, %{"_mounts" => 2})
  end

  test "under a LiveView of the outermost's one, which has no stash, it is in the outermost's tab", %{engine: engine} do
    {root, page} = open(engine)
    between = start_supervised!({Agent, fn -> nil end})

    nest = fn root, page, params ->
      params = Map.merge(%{"_mounts" => page.mounts - 1}, params)
      options = [session: page.session, id: "chat", params: params, parent: between, root: root]
      LiveViewProcess.start(options ++ chat(engine))
    end

    LiveViewProcess.save(nest.(root, page, %{}), message: "Hel")
    {root, page} = Page.mount(page, outer(engine))
    assert %{message: "Hel"} = LiveViewProcess.assigns(nest.(root, page, %{}))
  end

  describe "in a LiveView without a stash" do
    setup %{engine: engine} do
      parent = start_supervised!({Agent, fn -> nil end})
      %{parent: parent, page: Page.open(Page.session()), chat: chat(engine, stored_keys: [:room])}
    end

    test "a :reconnect key is refused at mount", %{engine: engine, parent: parent, page: page} do
      for params <- [nil, %{"_mounts" => 0}] do
        options = [session: page.session, id: "chat", params: params, parent: parent] ++ chat(engine)
        assert {:error, {%ArgumentError{message: message}, _stack}} = GenServer.start(LiveViewProcess, options)
        assert message =~ "DurableStash.ChatLive is nested in a LiveView without a stash"
        assert message =~ ":reconnect key :message"
      end
    end

    test "the session's keys come back", %{parent: parent, page: page, chat: chat} do
      LiveViewProcess.save(Page.nest(page, parent, "chat", chat), room: "elixir")
      again = Page.nest(page, parent, "chat", chat)
      assert %{room: "elixir"} = LiveViewProcess.assigns(again)
    end

    test "two pages are not taken for one", %{parent: parent, page: page, chat: chat} do
      one = Page.nest(page, parent, "chat", chat)
      two = Page.nest(Page.open(page.session), parent, "chat", chat)
      LiveViewProcess.save(one, room: "one")
      LiveViewProcess.save(two, room: "two")
      assert LiveViewProcess.status(one) == :saved
      assert LiveViewProcess.save(one, room: "one again") == :ok
    end
  end

  describe "in a nested LiveView that is in no tab" do
    test "a :reconnect key is refused at mount, dead and connected alike", %{engine: engine} do
      parent = start_supervised!({Agent, fn -> nil end})
      page = Page.open(Page.session())
      between = Page.nest(page, parent, "between", view(engine, stored_keys: [:room]))
      options = [session: page.session, id: "chat", params: %{"_mounts" => 0}, parent: between] ++ chat(engine)
      assert {:error, {%ArgumentError{message: message}, _stack}} = GenServer.start(LiveViewProcess, options)
      assert message =~ "DurableStash.ChatLive is nested in a LiveView without a stash"

      outer = %Phoenix.LiveView.Socket{id: "between", view: DurableStash.SomeLive, parent_pid: self()}
      tab = DurableStash.Tab.of(outer)
      assert %{mount: :dead, lost: :nothing_around} = tab
      DurableStash.Host.attach(outer, %{tab: tab})
      assert %{lost: :nothing_around} = DurableStash.Tab.of(%{outer | id: "chat", view: DurableStash.ChatLive})
    end
  end

  describe "a sticky LiveView" do
    # It has no parent, joins with the page's params, and has the same id in every page.
    defp stick(page, view) do
      script = if page.memory, do: %{"liveStash" => page.memory}, else: %{}
      params = Map.put(script, "_mounts", max(page.mounts - 1, 0))
      [session: page.session, id: "player", params: params, sticky: true] ++ view
    end

    test "of one tab does not supersede another tab's", %{engine: engine} do
      player = view(engine, [stored_keys: [:volume]], view: DurableStash.PlayerLive, assigns: [volume: 5])

      for script <- [true, false] do
        session = Page.session()
        [one, two] = for _tab <- 1..2, do: LiveViewProcess.start(stick(Page.open(session, script: script), player))
        assert LiveViewProcess.save(two, volume: 7) == :ok
        assert LiveViewProcess.save(one, volume: 11) == :ok
        assert %{volume: 11} = LiveViewProcess.assigns(LiveViewProcess.start(stick(Page.open(session), player)))
      end
    end

    test "tells the page no nonce: that is the root's own", %{engine: engine} do
      {_root, page} = open(engine)
      player = LiveViewProcess.start(stick(page, view(engine, [stored_keys: [:volume]], view: DurableStash.PlayerLive)))
      assert LiveViewProcess.pushed(player) == []
    end

    test "is in no tab: a :reconnect key is refused at mount", %{engine: engine} do
      page = Page.open(Page.session())
      player = view(engine, [stored_keys: [volume: :reconnect]], view: DurableStash.PlayerLive)

      for options <- [stick(page, player), Keyword.put(stick(page, player), :params, nil)] do
        assert {:error, {%ArgumentError{message: message}, _stack}} = GenServer.start(LiveViewProcess, options)
        assert message =~ "DurableStash.PlayerLive is sticky"
        assert message =~ ":reconnect key :volume"
      end
    end
  end

  describe "use DurableStash" do
    test "is on_mount/4 with the options, without LiveStash", %{engine: engine} do
      {parent, page} = open(engine)

      socket =
        LiveViewProcess.run(parent, fn socket ->
          private = Map.take(socket.private, [:live_temp]) |> Map.put(:lifecycle, %Phoenix.LiveView.Lifecycle{})

          socket = %{
            socket
            | private: Map.merge(private, %{connect_params: %{"_mounts" => 0}}),
              view: DurableStash.ChatLive
          }

          options = [stored_keys: [:room], engine: engine, auto_stash: true]
          assert {:cont, socket} = DurableStash.on_mount(options, :not_mounted_at_router, page.session, socket)
          {:not_found, socket} = DurableStash.recover_state(Phoenix.Component.assign(socket, room: "elixir"))
          {Phoenix.LiveView.Lifecycle.after_render(socket), socket}
        end)

      assert DurableStash.status(socket) in [:pending, :saving, :saved]
      refute Map.has_key?(socket.private, :live_stash_adapter)
      {:ok, %{live_sessions: _sessions}} = Engine.stats(engine)
      session = page.session
      {lv, _page} = Page.mount(Page.open(session), chat(engine, stored_keys: [:room]))
      assert %{room: "elixir"} = LiveViewProcess.assigns(lv)
    end
  end

  defp nested(page, parent, id, engine, params \\ %{}),
    do: LiveViewProcess.assigns(Page.nest(page, parent, id, chat(engine), params))
end
