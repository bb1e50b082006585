defmodule DurableStash.Standins do
  @moduledoc """
  Stands in for the Hex packages that DurableStash depends on, where Hex cannot be reached.

  It offers the functions that DurableStash and its tests call, and no others, with the behaviour that was measured of the
  real packages (LiveStash 1.0, LiveView 1.2, Plug 1.20, telemetry 1.4, Rustler 0.38). Nowhere is it kinder than they are:
  what raises there raises here.
  """

  use Application

  @impl Application
  def start(type, args) do
    :telemetry.start_table()
    LiveStash.Application.start(type, args)
  end
end
