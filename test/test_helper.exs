# LiveStash reads the list at each mount. In the real world its default adapter was started with it.
Application.put_env(:live_stash, :adapters, [DurableStash, LiveStash.Adapters.ETS])

stand_ins? = Code.ensure_loaded?(DurableStash.Standins)
left_out = if stand_ins?, do: [:live_view], else: []

ExUnit.start(exclude: left_out)

ExUnit.after_suite(fn result ->
  world =
    if stand_ins?,
      do: "stand-ins for live_stash, phoenix_live_view, plug, telemetry and rustler",
      else: "the real packages"

  IO.puts("World: #{world}.")

  if stand_ins? do
    IO.puts("Left out: #{result.excluded} tests that need a real LiveView (tag :live_view).")
  end
end)
