defmodule DurableStash.Page do
  @moduledoc """
  A page in a browser: what survives a lost connection (its memory, the LiveView's id, the count of mounts) and what it
  shares with the other pages of its browser (the cookie session).
  """

  alias DurableStash.LiveViewProcess

  defstruct [:session, :id, :memory, mounts: 0]

  @doc """
  A page that was just loaded. `script: false` is a page without LiveStash's client script.
  """
  def open(session, options \\ []) do
    %__MODULE__{
      session: session,
      id: Keyword.get_lazy(options, :id, fn -> "phx-" <> random() end),
      memory: if(Keyword.get(options, :script, true), do: %{})
    }
  end

  @doc "A browser session that the plug has seen."
  def session(sid \\ random()), do: %{"sid" => sid}

  @doc "The HTTP render."
  def render(%__MODULE__{} = page, view) do
    LiveViewProcess.start([session: page.session, id: page.id] ++ view)
  end

  @doc "The connected mount: the page's first one, or a rejoin. Returns the LiveView and the page that it made of this one."
  def mount(%__MODULE__{} = page, view, params \\ %{}) do
    # Mounts are ordered by their millisecond, and no browser mounts twice in one.
    if page.mounts > 0, do: Process.sleep(2)
    script = if page.memory, do: %{"liveStash" => page.memory}, else: %{}
    params = Map.merge(Map.put(script, "_mounts", page.mounts), params)
    lv = LiveViewProcess.start([session: page.session, id: page.id, params: params] ++ view)

    {lv,
     %{
       page
       | mounts: page.mounts + 1,
         memory: remembered(page.memory, LiveViewProcess.pushed(lv))
     }}
  end

  @doc "A LiveView nested in another one: it joins with the page's params, and is known by the id that it was given."
  def nest(%__MODULE__{} = page, parent, id, view, params \\ %{}) do
    params = Map.merge(%{"_mounts" => page.mounts - 1, "liveStash" => page.memory || %{}}, params)
    LiveViewProcess.start([session: page.session, id: id, params: params, parent: parent] ++ view)
  end

  @doc "Live navigation: the page's memory and the LiveView's id stay, the count of mounts starts again."
  def navigate(%__MODULE__{} = page), do: %{page | mounts: 0}

  # What the client script keeps of the adapters' events.
  defp remembered(nil, _pushed), do: nil

  defp remembered(memory, pushed) do
    for ["live-stash:init-" <> _adapter, payload] <- pushed, reduce: memory do
      _forgotten -> Map.new(payload, fn {key, value} -> {Atom.to_string(key), value} end)
    end
  end

  defp random, do: Base.url_encode64(:crypto.strong_rand_bytes(12))
end
