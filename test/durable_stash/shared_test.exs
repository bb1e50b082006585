defmodule DurableStash.SharedTest do
  # `:shared` keys: one value for the browser session, whichever view wrote it.
  use DurableStash.Case, async: true

  defp some(engine, stash \\ []) do
    stash = Keyword.merge([stored_keys: [:count, theme: :shared, draft: :reconnect]], stash)
    view(engine, stash, assigns: [count: 0, theme: "light", draft: ""])
  end

  defp other(engine),
    do: view(engine, [stored_keys: [theme: :shared]], view: DurableStash.OtherLive, assigns: [theme: "light"])

  defp mount(page, view), do: Page.mount(page, view)

  test "every view of the session recovers what one of them stored", %{engine: engine} do
    session = Page.session()
    {lv, _page} = mount(Page.open(session), some(engine))
    LiveViewProcess.save(lv, theme: "dark")

    {seen, _page} = mount(Page.open(session), other(engine))
    assert LiveViewProcess.recovered(seen) == :recovered
    assert %{theme: "dark"} = LiveViewProcess.assigns(seen)
    assert %{theme: "dark"} = LiveViewProcess.assigns(Page.render(Page.open(session), other(engine)))

    {stranger, _page} = mount(Page.open(Page.session()), other(engine))
    assert LiveViewProcess.recovered(stranger) == :not_found
  end

  test "it outlives the engine, and is in a slice of its own", %{engine: engine, backend: backend} do
    session = Page.session()
    {lv, _page} = mount(Page.open(session), some(engine))
    LiveViewProcess.save(lv, theme: "dark", count: 1, draft: "Dear")
    restart_engine(engine)
    {seen, _page} = mount(Page.open(session), other(engine))
    assert %{theme: "dark"} = LiveViewProcess.assigns(seen)

    assert %{"*" => %{"1" => %{"data" => %{"theme" => "dark"}}}, "Elixir.DurableStash.SomeLive" => own} =
             document(backend).views

    assert %{"1" => %{"data" => %{"count" => 1} = data}} = own
    refute Map.has_key?(data, "theme")
  end

  test "a stash is one write over all scopes", %{engine: engine, backend: backend} do
    {lv, _page} = mount(Page.open(Page.session()), some(engine))
    LiveViewProcess.save(lv, theme: "dark", count: 1, draft: "Dear")
    assert %{commits: 1} = TestBackend.counts(backend)
    assert document(backend).header["rev"] == 1
  end

  test "two views that share different keys keep both", %{engine: engine} do
    session = Page.session()
    {lv, _page} = mount(Page.open(session), some(engine))

    {lang, _page} =
      mount(Page.open(session), view(engine, [stored_keys: [lang: :shared]], view: DurableStash.OtherLive))

    LiveViewProcess.save(lv, theme: "dark")
    LiveViewProcess.save(lang, lang: "fr")

    both = view(engine, [stored_keys: [lang: :shared, theme: :shared]], view: DurableStash.ThirdLive)
    {seen, _page} = mount(Page.open(session), both)
    assert %{theme: "dark", lang: "fr"} = LiveViewProcess.assigns(seen)
  end

  test "it belongs to no version of a view", %{engine: engine} do
    session = Page.session()
    {old, _page} = mount(Page.open(session), some(engine, vsn: 1))
    {_new, new_page} = mount(Page.open(session), some(engine, vsn: 2))
    LiveViewProcess.save(old, theme: "dark", count: 1)

    {rejoined, _page} = mount(new_page, some(engine, vsn: 2))
    assert %{theme: "dark", count: 0} = LiveViewProcess.assigns(rejoined)
    LiveViewProcess.save(rejoined, theme: "blue")
    {again, _page} = mount(Page.open(session), some(engine, vsn: 1))
    assert %{theme: "blue", count: 1} = LiveViewProcess.assigns(again)
  end

  test "a key of an older version's own may become a shared one, until somebody shares it", %{engine: engine} do
    session = Page.session()
    before = view(engine, [stored_keys: [:count, :theme], vsn: 1], assigns: [count: 0, theme: "light"])
    {lv, _page} = mount(Page.open(session), before)
    LiveViewProcess.save(lv, count: 1, theme: "dark")

    now = some(engine, vsn: 2, migrate: fn 1, stored -> stored end)
    {lv, _page} = mount(Page.open(session), now)
    assert %{count: 1, theme: "dark"} = LiveViewProcess.assigns(lv)

    {sharer, _page} = mount(Page.open(session), other(engine))
    LiveViewProcess.save(sharer, theme: "blue")
    {lv, _page} = mount(Page.open(session), now)
    assert %{count: 1, theme: "blue"} = LiveViewProcess.assigns(lv)
  end

  test "a reset of a view leaves it, and forget does not", %{engine: engine} do
    session = Page.session()
    {lv, page} = mount(Page.open(session), some(engine))
    LiveViewProcess.save(lv, theme: "dark", count: 1)
    LiveViewProcess.reset(lv)
    :ok = LiveViewProcess.flush(lv)
    {lv, page} = mount(page, some(engine))
    assert %{theme: "dark", count: 0} = LiveViewProcess.assigns(lv)

    assert DurableStash.forget(session, engine: engine) == :ok
    {lv, _page} = mount(page, some(engine))
    assert LiveViewProcess.recovered(lv) == :not_found
  end

  test "a zombie shares nothing", %{engine: engine} do
    session = Page.session()
    {zombie, page} = mount(Page.open(session), some(engine))
    {lv, _page} = mount(page, some(engine))
    LiveViewProcess.save(lv, theme: "dark")
    LiveViewProcess.stash(zombie, theme: "undead")
    {seen, _page} = mount(Page.open(session), other(engine))
    assert %{theme: "dark"} = LiveViewProcess.assigns(seen)
  end
end
