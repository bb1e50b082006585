defmodule DurableStash.ComponentTest do
  use DurableStash.Case, async: true

  alias DurableStash.Component, as: Stashing
  alias Phoenix.Component
  alias Phoenix.LiveView.Lifecycle

  defmodule Form do
    use DurableStash.Component, stored_keys: [:size, text: :reconnect]
  end

  defmodule Other do
    use DurableStash.Component, stored_keys: [:size, text: :reconnect]
  end

  defmodule Themed do
    use DurableStash.Component, stored_keys: [theme: :shared]
  end

  defmodule Renamed do
    use DurableStash.Component, stored_keys: [:width], vsn: 2, migrate: &__MODULE__.migrate/2
    def migrate(1, stored), do: %{width: stored["size"]}
  end

  defmodule Auto do
    use DurableStash.Component, stored_keys: [:size, text: :reconnect], auto_stash: true
  end

  defp host(engine, stash \\ []), do: view(engine, Keyword.merge([stored_keys: []], stash))

  defp open(engine, session \\ Page.session()), do: Page.mount(Page.open(session), host(engine))

  # The page is mounted and shows the component: with its first render, or once that is over.
  defp open_showing(moment, page, engine, module, id)

  defp open_showing(:with_the_page, page, engine, module, id) do
    test = self()

    mount = fn socket ->
      send(test, {:shown, shown(socket, module, id)})
      socket
    end

    {lv, page} = Page.mount(page, host(engine) ++ [mount: mount])
    assert_received {:shown, shown}
    {lv, page, shown}
  end

  defp open_showing(:late, page, engine, module, id) do
    {lv, page} = Page.mount(page, host(engine))
    {lv, page, show(lv, module, id)}
  end

  # Returns the status of recover_state and the component's socket.
  defp show(lv, module, id), do: LiveViewProcess.run(lv, &{shown(&1, module, id), &1})

  # As LiveView's renderer does: a socket of the component's own that shares nothing with its LiveView's but who they are.
  defp shown(socket, module, id) do
    component = %{socket | assigns: %{__changed__: %{}, id: id, myself: 1}, private: private()}
    component = Component.assign(component, size: 0, text: "", theme: "light")
    Stashing.recover_state(component, module)
  end

  defp private, do: %{live_temp: %{}, lifecycle: %Lifecycle{}}

  # An event of the component, in its LiveView's process.
  defp run(lv, component, fun), do: LiveViewProcess.run(lv, &{fun.(component), &1})
  defp stash(lv, component, assigns), do: run(lv, component, &(&1 |> Component.assign(assigns) |> DurableStash.stash()))

  defp save(lv, component, assigns) do
    component = stash(lv, component, assigns)
    :ok = run(lv, component, &DurableStash.flush/1)
    component
  end

  defp assigns(component), do: Map.take(component.assigns, [:size, :text])

  for moment <- [:with_the_page, :late] do
    test "a component that is shown #{moment} gets its own keys back when its page rejoins", %{engine: engine} do
      page = Page.open(Page.session())
      {lv, page, {:not_found, component}} = open_showing(unquote(moment), page, engine, Form, "comment")
      save(lv, component, size: 3, text: "Dear")

      assert {rejoined, page, {:recovered, component}} = open_showing(unquote(moment), page, engine, Form, "comment")
      assert assigns(component) == %{size: 3, text: "Dear"}

      # Whenever it was shown before.
      save(rejoined, component, text: "Dear all")
      assert {_lv, page, {:recovered, component}} = open_showing(:late, page, engine, Form, "comment")
      assert %{text: "Dear all"} = assigns(component)
      assert {_lv, _page, {:recovered, component}} = open_showing(:with_the_page, page, engine, Form, "comment")
      assert %{text: "Dear all"} = assigns(component)
    end

    test "a fresh page that shows it #{moment} gets what is the session's, and a blank draft", %{engine: engine} do
      session = Page.session()
      {lv, _page} = open(engine, session)
      {:not_found, component} = show(lv, Form, "comment")
      save(lv, component, size: 3, text: "Dear")

      {fresh, _page, {status, component}} = open_showing(unquote(moment), Page.open(session), engine, Form, "comment")
      assert status == :recovered
      assert assigns(component) == %{size: 3, text: ""}
      save(fresh, component, text: "Mine")
      assert {:recovered, component} = show(lv, Form, "comment")
      assert %{text: "Dear"} = assigns(component)
    end

    for stashes? <- [true, false] do
      test "a fresh page under an id seen before that shows it #{moment} empties its draft (stashes? #{stashes?})",
           %{engine: engine} do
        page = Page.open(Page.session(), script: false)
        {lv, page} = Page.mount(page, host(engine))
        {:not_found, component} = show(lv, Form, "comment")
        save(lv, component, size: 3, text: "of the page before")
        LiveViewProcess.close(lv)

        {lv, page, {:recovered, component}} =
          open_showing(unquote(moment), Page.navigate(page), engine, Form, "comment")

        assert assigns(component) == %{size: 3, text: ""}
        if unquote(stashes?), do: save(lv, component, size: 4)

        for later <- [:late, :with_the_page] do
          {_lv, _page, {:recovered, component}} = open_showing(later, page, engine, Form, "comment")
          assert %{text: ""} = assigns(component)
        end
      end
    end
  end

  test "it is known by its module and its id, down to the id's type", %{engine: engine} do
    {lv, page} = open(engine)

    components = [{Form, "1"}, {Form, 1}, {Form, :"1"}, {Form, "2"}, {Other, "1"}]

    for {{module, id}, n} <- Enum.with_index(components) do
      {:not_found, component} = show(lv, module, id)
      save(lv, component, size: n, text: "draft #{n}")
    end

    {rejoined, _page} = Page.mount(page, host(engine))

    for {{module, id}, n} <- Enum.with_index(components) do
      {:recovered, component} = show(rejoined, module, id)
      text = "draft #{n}"
      assert %{size: ^n, text: ^text} = assigns(component)
    end
  end

  test "ids that differ at their ends only are told apart, however long they are", %{engine: engine} do
    {lv, page} = open(engine)

    ids =
      for end_of_it <- ["a", "b"],
          start <- ["é" |> String.duplicate(5_000), <<255>> |> String.duplicate(100)],
          do: start <> end_of_it

    for {id, n} <- Enum.with_index(ids) do
      {:not_found, component} = show(lv, Form, id)
      save(lv, component, size: n)
    end

    {rejoined, _page} = Page.mount(page, host(engine))

    for {id, n} <- Enum.with_index(ids) do
      assert {:recovered, %{assigns: %{size: ^n}}} = show(rejoined, Form, id)
    end
  end

  @tag engine: [components_per_module: 3]
  test "a browser session keeps so many ids of a module, those that were touched last", %{engine: engine} do
    observe(engine, [[:durable_stash, :components_evicted]])
    {lv, page} = open(engine)
    {:not_found, other} = show(lv, Other, 1)
    save(lv, other, size: 0)

    for id <- [1, 2, 3, 1, 4, 5] do
      {_status, component} = show(lv, Form, id)
      # The store's clock is in milliseconds.
      Process.sleep(2)
      save(lv, component, size: id * 10 + System.unique_integer([:positive]))
    end

    {rejoined, _page} = Page.mount(page, host(engine))
    kept = for id <- 1..5, match?({:recovered, _component}, show(rejoined, Form, id)), do: id
    assert kept == [1, 4, 5]
    assert {:recovered, _component} = show(rejoined, Other, 1)
    assert_receive {:telemetry, [:durable_stash, :components_evicted], %{count: 1}, _metadata}
  end

  test "what a component shares is everybody's", %{engine: engine} do
    session = Page.session()
    {lv, _page} = open(engine, session)
    {:not_found, component} = show(lv, Themed, "picker")
    save(lv, component, theme: "dark")

    host = host(engine, stored_keys: [theme: :shared])
    {other, _page} = Page.mount(Page.open(session), host)
    assert %{theme: "dark"} = LiveViewProcess.assigns(other)
    assert {:recovered, %{assigns: %{theme: "dark"}}} = show(other, Themed, "another picker")
  end

  test "the component and its LiveView keep to themselves", %{engine: engine, backend: backend} do
    host = view(engine, [stored_keys: [:size]], assigns: [size: 100])
    {lv, _page} = Page.mount(Page.open(Page.session()), host)
    {_status, component} = show(lv, Form, "comment")
    save(lv, component, size: 3)
    LiveViewProcess.save(lv, size: 200)

    views = document(backend).views
    assert views["Elixir.DurableStash.SomeLive"]["1"]["data"] == %{"size" => 200}
    assert views[~s(Elixir.DurableStash.ComponentTest.Form:"comment")]["1"]["data"] == %{"size" => 3}
  end

  test "only the first call recovers", %{engine: engine} do
    {lv, _page} = open(engine)
    {:not_found, component} = show(lv, Form, "comment")
    component = stash(lv, component, size: 3)
    component = Component.assign(component, size: 4)
    assert {:unchanged, ^component} = run(lv, component, &Stashing.recover_state(&1, Form))
  end

  test "a component that is taken out of the page and put in again has its draft", %{engine: engine} do
    {lv, _page} = open(engine)
    {:not_found, component} = show(lv, Form, "comment")
    stash(lv, component, size: 3, text: "Dear")

    assert {:recovered, again} = show(lv, Form, "comment")
    assert %{size: 3, text: "Dear"} = assigns(again)
    again = save(lv, again, text: "Dear all")
    assert run(lv, again, &DurableStash.status/1) == :saved
  end

  test "one of more components than handles are kept is saved, and has its draft when it is put in again", context do
    %{engine: engine, backend: backend} = context
    {lv, page, {:not_found, first}} = open_showing(:with_the_page, Page.open(Page.session()), engine, Form, "first")
    first = save(lv, first, text: "Dear")
    TestBackend.stall_puts(backend, 1)
    stash(lv, first, text: "Dear all")

    # Of another module, or its slice would go too.
    for id <- 1..300, do: {:not_found, _component} = show(lv, Other, id)
    {:ok, lent} = LiveViewProcess.run(lv, &{DurableStash.Host.fetch(DurableStash.Host.key(&1)), &1})
    assert map_size(lent.handles) == 256
    assert Enum.all?(45..300, &is_map_key(lent.handles, "#{Other}:#{&1}"))

    assert {:recovered, again} = show(lv, Form, "first")
    assert %{text: "Dear all"} = assigns(again)
    TestBackend.release(backend)
    again = save(lv, again, size: 3)
    assert run(lv, again, &DurableStash.status/1) == :saved

    {rejoined, _page} = Page.mount(page, host(engine))
    assert {:recovered, component} = show(rejoined, Form, "first")
    assert assigns(component) == %{size: 3, text: "Dear all"}
  end

  test "a component that is shown again is the last of those whose handles go", %{engine: engine} do
    {lv, _page} = open(engine)
    for id <- 1..256, do: {:not_found, _component} = show(lv, Other, id)
    show(lv, Other, 1)
    show(lv, Other, 257)
    {:ok, lent} = LiveViewProcess.run(lv, &{DurableStash.Host.fetch(DurableStash.Host.key(&1)), &1})
    assert is_map_key(lent.handles, "#{Other}:1") and not is_map_key(lent.handles, "#{Other}:2")
  end

  test "a zombie's component changes nothing, neither one that it has nor one that it opens", %{engine: engine} do
    {zombie, page} = open(engine)
    {:not_found, undead} = show(zombie, Form, "comment")
    undead = save(zombie, undead, size: 1, text: "old")

    {lv, page} = Page.mount(page, host(engine))
    {:recovered, component} = show(lv, Form, "comment")
    save(lv, component, text: "new")

    undead = stash(zombie, undead, size: 100, text: "undead")
    assert {:error, %Error{kind: :superseded}} = run(zombie, undead, &DurableStash.flush/1)
    {:error, late} = show(zombie, Form, "opened late")
    late = stash(zombie, late, size: 100)
    assert {:error, %Error{kind: :superseded}} = run(zombie, late, &DurableStash.flush/1)

    {lv, _page} = Page.mount(page, host(engine))
    assert {:recovered, component} = show(lv, Form, "comment")
    assert %{size: 1, text: "new"} = assigns(component)
    assert {:not_found, _component} = show(lv, Form, "opened late")
  end

  test "a zombie that the new engine never heard of opens none over its successor's", %{engine: engine} do
    {zombie, page} = open(engine)
    restart_engine(engine)

    {lv, page} = Page.mount(page, host(engine))
    {:not_found, component} = show(lv, Form, "comment")
    component = save(lv, component, text: "new")

    {_status, undead} = show(zombie, Form, "comment")
    undead = stash(zombie, undead, text: "undead")
    assert {:error, %Error{kind: :superseded}} = run(zombie, undead, &DurableStash.flush/1)

    save(lv, component, size: 1)
    {lv, _page} = Page.mount(page, host(engine))
    assert {:recovered, component} = show(lv, Form, "comment")
    assert %{size: 1, text: "new"} = assigns(component)
  end

  test "its state outlives the engine under it", %{engine: engine} do
    {lv, page} = open(engine)
    {:not_found, component} = show(lv, Form, "comment")
    component = save(lv, component, size: 1, text: "before")
    restart_engine(engine)
    save(lv, component, text: "after")
    {rejoined, _page} = Page.mount(page, host(engine))
    assert {:recovered, component} = show(rejoined, Form, "comment")
    assert %{size: 1, text: "after"} = assigns(component)
  end

  test "versions and migrations are the component's own", %{engine: engine} do
    {lv, _page} = open(engine)
    {:not_found, component} = show(lv, Form, "box")
    save(lv, component, size: 3)
    # The same component after a deploy.
    slice = ~s(#{Form}:"box")

    LiveViewProcess.run(lv, fn socket ->
      options = DurableStash.Options.component!(Renamed.__durable_stash__())
      {:ok, lent} = DurableStash.Host.fetch(DurableStash.Host.key(socket))
      context = DurableStash.Context.of_component(options, socket, Form, "box", %{lent | handles: %{}})
      assert context.slice == slice
      component = %{socket | assigns: %{__changed__: %{}, id: "box"}, private: private()}
      {status, component} = DurableStash.recover_state(DurableStash.Context.put(component, context))
      assert {status, component.assigns.width} == {:recovered, 3}
      {:ok, socket}
    end)
  end

  test "auto_stash stashes after each render of the component", %{engine: engine} do
    {lv, page} = open(engine)
    {:not_found, component} = show(lv, Auto, "comment")
    run(lv, component, &(&1 |> Component.assign(size: 3, text: "Dear") |> Lifecycle.after_render()))
    {rejoined, _page} = Page.mount(page, host(engine))
    assert {:recovered, component} = show(rejoined, Auto, "comment")
    assert %{size: 3, text: "Dear"} = assigns(component)
  end

  test "a reset is the component's", %{engine: engine} do
    {lv, page} = Page.mount(Page.open(Page.session()), host(engine, stored_keys: [:count]))
    LiveViewProcess.save(lv, count: 5)
    {:not_found, component} = show(lv, Form, "comment")
    component = save(lv, component, size: 3, text: "Dear")
    run(lv, component, &DurableStash.reset_stash/1)

    {rejoined, _page} = Page.mount(page, host(engine, stored_keys: [:count]))
    assert {:not_found, component} = show(rejoined, Form, "comment")
    assert assigns(component) == %{size: 0, text: ""}
    assert %{count: 5} = LiveViewProcess.assigns(rejoined)
  end

  test "a dead render shows what is the session's and stashes nothing", %{engine: engine, backend: backend} do
    session = Page.session()
    {lv, page} = open(engine, session)
    {:not_found, component} = show(lv, Form, "comment")
    save(lv, component, size: 3, text: "Dear")
    %{commits: commits} = TestBackend.counts(backend)

    dead = Page.render(page, host(engine))
    assert {:recovered, component} = show(dead, Form, "comment")
    assert %{size: 3, text: ""} = assigns(component)
    run(dead, component, &(&1 |> Component.assign(size: 100) |> DurableStash.stash()))
    assert %{commits: ^commits} = TestBackend.counts(backend)
  end

  describe "a LiveView without a stash" do
    test "is told what its component needs" do
      socket = %Phoenix.LiveView.Socket{id: "phx-1", view: SomeLive, assigns: %{__changed__: %{}, id: "comment"}}

      assert_raise ArgumentError, ~r/Form stashes, but SomeLive around it has no stash.*\[\] will do/, fn ->
        Stashing.recover_state(socket, Form)
      end
    end

    # A web server's process renders one page after the other.
    test "finds none that another page had in the same process", %{engine: engine} do
      {lv, _page} = open(engine)

      LiveViewProcess.run(lv, fn socket ->
        for other <- [%{socket | id: "phx-another"}, %{socket | view: OtherLive}] do
          component = %{other | assigns: %{__changed__: %{}, id: "comment"}, private: private()}
          assert_raise ArgumentError, ~r/has no stash/, fn -> Stashing.recover_state(component, Form) end
        end

        {:ok, socket}
      end)
    end
  end

  test "what a LiveView lends its components shows no session id", %{engine: engine} do
    session = Page.session()
    {lv, _page} = open(engine, session)
    {:dictionary, dictionary} = Process.info(lv, :dictionary)
    assert Keyword.has_key?(dictionary, :durable_stash_hosts)
    # As a crash report prints it.
    refute to_string(:io_lib.format(~c"~tp", [dictionary])) =~ session["sid"]
  end

  describe "an id" do
    test "that is not assigned yet, or cannot be told again, is named", %{engine: engine} do
      {lv, _page} = open(engine)

      LiveViewProcess.run(lv, fn socket ->
        for {assigns, message} <- [
              {%{}, ~r/has no id yet: call .* in update\/2/},
              {%{id: nil}, ~r/neither text, nor an atom, nor an integer/},
              {%{id: {1, 2}}, ~r/neither text, nor an atom, nor an integer/}
            ] do
          component = %{socket | assigns: Map.put(assigns, :__changed__, %{}), private: private()}
          assert_raise ArgumentError, message, fn -> Stashing.recover_state(component, Form) end
        end

        {:ok, socket}
      end)
    end
  end

  describe "options that a component cannot have do not compile:" do
    for {case, options, message} <- [
          {"sync", [stored_keys: [theme: {:shared, sync: true}]],
           ~r/use DurableStash.Component: sync: true of :theme.*gets no messages/},
          {"status", [stored_keys: [:a], status: :saved], ~r/use DurableStash.Component: unknown option :status/},
          {"an engine of its own", [stored_keys: [:a], engine: Some.Engine], ~r/unknown option :engine/},
          {"a scope that is none", [stored_keys: [a: :forever]], ~r/use DurableStash.Component: the scope of :a/},
          {"no stored keys", [vsn: 1], ~r/use DurableStash.Component: the option :stored_keys is missing/}
        ] do
      test case do
        options = inspect(unquote(Macro.escape(options)))
        module = "defmodule DurableStash.ComponentTest.Bad do\n  use DurableStash.Component, #{options}\nend"
        assert_raise ArgumentError, unquote(Macro.escape(message)), fn -> Code.eval_string(module) end
      end
    end
  end
end
