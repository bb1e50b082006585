defmodule DurableStash.DefaultsTest do
  # What a mount assigns where nothing is stored takes the place of nobody's value.
  use DurableStash.Case, async: true

  alias DurableStash.Defaults
  alias Phoenix.Component

  @assigns [count: 0, filter: "all", theme: "light", draft: ""]

  defp some(engine, options \\ [assigns: @assigns], stash \\ []),
    do: view(engine, [stored_keys: [:count, :filter, theme: :shared, draft: :reconnect]] ++ stash, options)

  defp open(session, view), do: session |> Page.open() |> Page.mount(view) |> elem(0)

  defp stored(engine, session) do
    lv = open(session, some(engine, assigns: [count: nil, filter: nil, theme: nil]))
    Map.take(LiveViewProcess.assigns(lv), [:count, :filter, :theme])
  end

  # An engine of its own over the same store, as another node has.
  defp another_node(engine) do
    elsewhere = Module.concat(engine, Elsewhere)
    start_engine(elsewhere, backend: {TestBackend, name: engine})
    elsewhere
  end

  describe "two tabs that open on an empty session" do
    for {nodes, first} <- [{1, :count}, {1, :filter}, {2, :count}, {2, :filter}] do
      test "both keep what each has changed (nodes: #{nodes}, #{first} first)", %{engine: engine} do
        session = Page.session()
        other = if unquote(nodes) == 2, do: another_node(engine), else: engine
        tabs = %{count: open(session, some(engine)), filter: open(session, some(other))}
        changes = %{count: [count: 1], filter: [filter: "open"]}

        for key <- [unquote(first) | [:count, :filter] -- [unquote(first)]],
            do: LiveViewProcess.save(tabs[key], changes[key])

        for {_key, lv} <- tabs, do: assert(LiveViewProcess.status(lv) == :saved)
        assert stored(engine, session) == %{count: 1, filter: "open", theme: "light"}
        assert stored(other, session) == %{count: 1, filter: "open", theme: "light"}
      end
    end

    test "may be of two views that share a key", %{engine: engine} do
      session = Page.session()
      one = open(session, some(engine))

      other =
        open(session, view(engine, [stored_keys: [:lang, theme: :shared]], assigns: [lang: "en", theme: "system"]))

      LiveViewProcess.save(one, theme: "dark")
      LiveViewProcess.save(other, lang: "fr")
      assert %{theme: "dark"} = stored(engine, session)
    end

    test "may stash what is assigned after recovery, at once or after a render", %{engine: engine} do
      for {stashes, stash} <- [{& &1, []}, {&LiveStash.stash/1, []}, {& &1, [auto_stash: true]}] do
        session = Page.session()
        one = open(session, some(engine))

        # What the other tab saves comes after this one has found nothing.
        mount = fn socket ->
          LiveViewProcess.save(one, count: 1)
          socket |> Component.assign(@assigns) |> stashes.()
        end

        late = open(session, some(engine, [mount: mount], stash))
        assert LiveViewProcess.recovered(late) == :not_found
        LiveViewProcess.save(late, filter: "open")
        assert stored(engine, session) == %{count: 1, filter: "open", theme: "light"}
      end
    end
  end

  describe "a default" do
    setup %{engine: engine} do
      session = Page.session()
      %{session: session, one: open(session, some(engine)), other: open(session, some(engine))}
    end

    test "is stored where nothing is", context do
      LiveViewProcess.save(context.one, count: 1)
      assert stored(context.engine, context.session) == %{count: 1, filter: "all", theme: "light"}
    end

    test "that gave way is not sent again until its key changes, and then as any value", context do
      %{engine: engine, session: session, other: other} = context
      LiveViewProcess.save(context.one, count: 1)
      LiveViewProcess.save(other, filter: "open")
      assert %{count: 0} = LiveViewProcess.assigns(other)
      LiveViewProcess.save(other, filter: "closed")
      assert %{count: 1} = stored(engine, session)

      LiveViewProcess.save(other, count: 5)
      LiveViewProcess.save(other, count: 0)
      assert %{count: 0} = stored(engine, session)
    end

    test "that was changed before the first stash, and back, is one still", context do
      LiveViewProcess.save(context.one, count: 1)
      LiveViewProcess.assign(context.other, count: 5)
      LiveViewProcess.save(context.other, count: 0, filter: "open")
      assert %{count: 1, filter: "open"} = stored(context.engine, context.session)
    end

    test "is one after an engine's restart, when everything is sent again", context do
      %{engine: engine, session: session, other: other} = context
      LiveViewProcess.save(other, filter: "open")
      LiveViewProcess.save(context.one, count: 1)
      restart_engine(engine)
      LiveViewProcess.save(other, [])
      assert %{count: 1, filter: "open"} = stored(engine, session)
    end

    @tag engine: [max_document_bytes: 10_000]
    test "is one after a write that failed, when everything is sent again", context do
      %{engine: engine, session: session, one: one, other: other} = context
      large = String.duplicate("x", 5_000)
      LiveViewProcess.save(one, count: large)
      LiveViewProcess.stash(other, filter: large)
      assert {:error, %Error{}} = LiveViewProcess.flush(other)
      assert LiveViewProcess.status(other) == :unsaved
      LiveViewProcess.save(other, filter: "open")
      assert %{count: ^large, filter: "open"} = stored(engine, session)
    end

    test "is none after a reset: the view stores what it shows", context do
      LiveViewProcess.save(context.one, count: 1)
      LiveViewProcess.reset(context.other)
      LiveViewProcess.save(context.one, count: 2)
      LiveViewProcess.save(context.other, [])
      assert %{count: 0, filter: "all"} = stored(context.engine, context.session)
    end

    test "of a fresh page is stored in its own tab, whatever others drafted", %{engine: engine} = context do
      LiveViewProcess.save(context.one, draft: "Dear")
      {lv, page} = Page.mount(Page.open(context.session), some(engine))
      LiveViewProcess.save(lv, count: 2)
      LiveViewProcess.close(lv)
      {lv, _page} = Page.mount(page, some(engine, assigns: [draft: nil]))
      assert %{draft: ""} = LiveViewProcess.assigns(lv)
    end
  end

  test "what was migrated takes the place of nothing that another tab has stored since", %{engine: engine} do
    session = Page.session()
    LiveViewProcess.save(open(session, some(engine)), count: 1, filter: "open")
    new = some(engine, [assigns: @assigns], vsn: 2, migrate: fn 1, stored -> stored end)
    [one, other] = for _tab <- 1..2, do: open(session, new)
    assert %{count: 1, filter: "open"} = LiveViewProcess.assigns(other)
    LiveViewProcess.save(one, count: 2)
    LiveViewProcess.save(other, filter: "closed")
    assert %{count: 2, filter: "closed"} = LiveViewProcess.assigns(open(session, new))
  end

  test "a key that recovery did not bring is a default, although others were", %{engine: engine} do
    session = Page.session()
    few = view(engine, [stored_keys: [:count]], assigns: [count: 0])
    LiveViewProcess.save(open(session, few), count: 1)
    [one, other] = for _tab <- 1..2, do: open(session, some(engine))
    LiveViewProcess.save(one, filter: "open")
    LiveViewProcess.save(other, count: 2)
    assert %{count: 2, filter: "open"} = stored(engine, session)
  end

  describe "with sync: true" do
    defp synced(engine, theme),
      do: view(engine, [stored_keys: [:count, theme: {:shared, sync: true}]], assigns: [count: 0, theme: theme])

    test "a default takes no other LiveView's change away, and shows it", %{engine: engine} do
      session = Page.session()
      [one, other] = for _tab <- 1..2, do: open(session, synced(engine, "light"))
      LiveViewProcess.save(one, theme: "dark")
      LiveViewProcess.save(other, count: 1)
      for lv <- [one, other], do: assert(%{theme: "dark"} = LiveViewProcess.assigns(lv))
      assert %{theme: "dark"} = stored(engine, session)
    end

    test "of two defaults all show the one that is stored, whoever hears of it when", %{engine: engine} do
      for order <- [[0, 1], [1, 0]] do
        session = Page.session()
        tabs = for theme <- ["light", "system"], do: open(session, synced(engine, theme))
        for lv <- tabs, do: :sys.suspend(lv)
        writes = for index <- order, do: Task.async(fn -> LiveViewProcess.save(Enum.at(tabs, index), count: index) end)
        for index <- order, do: :sys.resume(Enum.at(tabs, index))
        Task.await_many(writes)
        %{theme: theme} = stored(engine, session)
        for lv <- tabs, do: assert(%{theme: ^theme} = LiveViewProcess.assigns(lv))
      end
    end

    test "a default that was taken over is one still when everything is sent again", %{engine: engine} do
      session = Page.session()
      [one, other] = for theme <- ["light", "system"], do: open(session, synced(engine, theme))
      LiveViewProcess.save(one, count: 1)
      assert %{theme: "light"} = LiveViewProcess.assigns(other)
      LiveViewProcess.close(one)
      elsewhere = open(session, synced(another_node(engine), "blue"))
      LiveViewProcess.save(elsewhere, theme: "dark")
      restart_engine(engine)
      LiveViewProcess.save(other, count: 2)
      assert %{theme: "dark"} = stored(engine, session)
    end

    test "a change that is not stashed yet stays where another's default comes in", %{engine: engine} do
      session = Page.session()
      [one, other] = for theme <- ["light", "system"], do: open(session, synced(engine, theme))
      LiveViewProcess.assign(other, theme: "blue")
      LiveViewProcess.save(one, count: 1)
      assert %{theme: "blue"} = LiveViewProcess.assigns(other)
      LiveViewProcess.save(other, [])
      for lv <- [one, other], do: assert(%{theme: "blue"} = LiveViewProcess.assigns(lv))
    end
  end

  test "what is not a key's default, by its term, is none" do
    defaults = Defaults.of([:count, :filter], %{count: 1, other: 2})
    assert Defaults.default?(defaults, :count, 1)
    refute Defaults.default?(defaults, :count, 1.0)
    refute Defaults.default?(defaults, :filter, nil)
    refute Defaults.default?(nil, :count, 1)
    assert Defaults.awaited?(defaults)
    defaults = Defaults.mounted(defaults, %{count: 3, filter: nil})
    assert Defaults.default?(defaults, :count, 1) and Defaults.default?(defaults, :filter, nil)
    refute Defaults.awaited?(defaults)
    refute Defaults.default?(Defaults.accepted(defaults, count: 2), :count, 1)
    assert Defaults.default?(Defaults.accepted(defaults, count: 1), :count, 1)
  end
end
