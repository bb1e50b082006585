defmodule DurableStash.Component do
  @moduledoc """
  Stashes the assigns of a LiveComponent, each by itself.

      defmodule MyAppWeb.CommentForm do
        use MyAppWeb, :live_component
        use DurableStash.Component, stored_keys: [text: :reconnect]

        def update(assigns, socket) do
          socket = socket |> assign(assigns) |> assign_new(:text, fn -> "" end)
          {_status, socket} = DurableStash.Component.recover_state(socket, __MODULE__)
          {:ok, socket}
        end

        def handle_event("change", %{"text" => text}, socket),
          do: {:noreply, socket |> assign(text: text) |> DurableStash.stash()}
      end

  What is stored is known by the component's module and its `id`: two components of one module keep their state apart, and a
  component finds its own wherever it is shown. The `id` is text, an atom or an integer, and has to mean the same thing after
  a reconnect.

  The browser session, the tab, the engine and a `secret:` are those of the LiveView around it, which has to have a stash of its
  own: `use LiveStash, adapter: DurableStash, stored_keys: []` will do.

  In a component `DurableStash.stash/1`, `reset_stash/1`, `status/1`, `flush/2`, `push_navigate/2` and `redirect/2` are called directly;
  `LiveStash` knows LiveViews only. A `:reconnect` key comes back when the page reconnects, and also when the component is taken out
  of the page and put in again.

  Each `id` is kept in the browser session's document until the `ttl` has passed, and at most `components_per_module` ids of one module are
  kept (100, see `DurableStash.Config`): beyond it those that were written the longest ago go first, whole. Give ids to
  things that are dozens, not thousands.

  ## Options

  `stored_keys`, `vsn`, `migrate`, `durability` and `auto_stash`, as in `DurableStash`. A component gets no messages, so there is neither
  `sync: true` nor `status:`; `DurableStash.status/1` says how its writes fare. Bad options do not compile.
  """

  alias DurableStash.Context
  alias DurableStash.Host
  alias DurableStash.Options
  alias Phoenix.LiveView
  alias Phoenix.LiveView.Socket

  @doc false
  defmacro __using__(options) do
    quote do
      DurableStash.Component.validate!(unquote(options))

      @doc false
      def __durable_stash__, do: unquote(options)
    end
  end

  @doc """
  Assigns what is stored for this component. Call it in `update/2`, once the `id` and the defaults are assigned.

  The first call returns as `LiveStash.recover_state/1` does: `{:recovered | :not_found | :error, socket}`. Every later one changes
  nothing and returns `{:unchanged, socket}`.

  Raises an `ArgumentError` where the LiveView around it has no stash.
  """
  @spec recover_state(Socket.t(), module()) :: {:recovered | :not_found | :error | :unchanged, Socket.t()}
  def recover_state(%Socket{} = socket, component) do
    if Context.initialized?(socket) do
      {:unchanged, socket}
    else
      options = Options.component!(component.__durable_stash__())
      context = Context.of_component(options, socket, component, id!(socket, component), host!(socket, component))
      if context.session, do: Host.keep(context)

      socket
      |> Context.put(context)
      |> stash_after_render(options)
      |> DurableStash.recover_state()
    end
  end

  @doc false
  # In the body of the component's module.
  @spec validate!(keyword()) :: :ok
  def validate!(options) do
    Options.component!(options)
    :ok
  end

  defp stash_after_render(socket, %Options{auto_stash: true}) do
    if LiveView.connected?(socket),
      do: LiveView.attach_hook(socket, :durable_stash_auto_stash, :after_render, &DurableStash.stash/1),
      else: socket
  end

  defp stash_after_render(socket, _options), do: socket

  defp id!(%Socket{assigns: %{id: id}}, _component) when is_binary(id) or is_integer(id) or (is_atom(id) and id != nil),
    do: id

  defp id!(%Socket{assigns: %{id: _other}}, component) do
    raise ArgumentError,
          "#{inspect(component)} has an id that is neither text, nor an atom, nor an integer: it cannot be told again after a reconnect"
  end

  defp id!(_socket, component) do
    raise ArgumentError,
          "#{inspect(component)} has no id yet: call DurableStash.Component.recover_state/2 in update/2, after assign(socket, assigns)"
  end

  defp host!(socket, component) do
    case Host.fetch(Host.key(socket)) do
      {:ok, lent} ->
        lent

      :error ->
        raise ArgumentError,
              "#{inspect(component)} stashes, but #{inspect(socket.view)} around it has no stash: it needs " <>
                "`use LiveStash, adapter: DurableStash, stored_keys: [...]`, where [] will do"
    end
  end
end
