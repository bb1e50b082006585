Code.require_file("../live_view/support/live_view_case.exs", __DIR__)

defmodule DurableStash.ComponentsTest do
  use DurableStash.LiveViewCase

  @compile {:no_warn_undefined, [SomeAppWeb.Indicators, Phoenix.LiveViewTest]}

  defp rendered(indicator, status) do
    Phoenix.LiveViewTest.rendered_to_string(
      apply(SomeAppWeb.Indicators, indicator, [%{status: status, __changed__: nil}])
    )
  end

  defp text(html), do: html |> String.replace(~r/<[^>]*>/, "") |> String.trim()

  describe "status/1" do
    for {status, text} <- [saved: "Saved", saving: "Saving…", unsaved: "Not saved"] do
      test "says #{inspect(text)} for #{inspect(status)}, and tells the styles" do
        html = rendered(:plain, unquote(status))
        assert text(html) == unquote(text)
        assert html =~ ~s(data-status="#{unquote(status)}")
      end
    end

    test "claims nothing while a write is pending, and takes as much room as before" do
      saved = rendered(:plain, :saved)
      pending = rendered(:plain, :pending)
      assert pending =~ ~s(<span style="opacity: 0">Saved</span>)
      assert saved =~ "<span>Saved</span>"
      assert pending =~ ~s(data-status="pending")

      # The text is the same, so there is nothing to be read out; what it says is not to be relied on.
      assert text(pending) == text(saved)
      assert pending =~ ~s(aria-busy="true")
      for status <- [:saved, :saving, :unsaved], do: assert(rendered(:plain, status) =~ ~s(aria-busy="false"))
      assert rendered(:dressed, :pending) =~ ~s(<span style="opacity: 0">)
    end

    test "is a polite live region, which is read out when it changes" do
      html = rendered(:plain, :saved)
      assert html =~ ~s(role="status")
      assert html =~ ~s(aria-live="polite")
      assert html =~ ~s(aria-atomic="true")
      assert html =~ ~s(class="durable-stash-status")
    end

    test "takes other words, a class and other attributes" do
      assert text(rendered(:dressed, :saved)) == "All is well"
      assert text(rendered(:dressed, :saving)) == "One moment"
      assert rendered(:dressed, :unsaved) =~ "<b>Careful</b>"
      assert rendered(:dressed, :saved) =~ ~r/class="small"[^>]* id="indicator"/
    end
  end

  describe "status/1 in a page" do
    setup %{browser: browser} do
      page = browser |> Browser.load("/indicator") |> Page.connect() |> Page.stash(%{"count" => 1})
      await_text(page, "Saved")
      %{page: page}
    end

    test "says that a slow write is saving, and saved when it lands", %{page: page, store: store} do
      TestBackend.stall_puts(store, 1)
      Page.stash(page, %{"count" => 2})
      await_text(page, "Saving…")
      TestBackend.release(store)
      await_text(page, "Saved")
    end

    test "says that a late write is not saved, until it lands", %{page: page, store: store} do
      TestBackend.stall_puts(store, 1)
      Page.stash(page, %{"count" => 2})
      await_text(page, "Saving…")
      # The five seconds of DurableStash.status/1.
      Process.sleep(4_500)
      await_text(page, "Not saved")
      TestBackend.release(store)
      await_text(page, "Saved")
    end

    @tag engine: [max_document_bytes: 2_000]
    test "says that a failed write is not saved, until one is", %{page: page} do
      Page.stash(page, %{"draft" => String.duplicate("x", 3_000)})
      await_text(page, "Not saved")
      Page.stash(page, %{"draft" => "short"})
      await_text(page, "Saved")
    end
  end

  defp await_text(page, text), do: await(fn -> text(Page.html(page)) == text end)
end
