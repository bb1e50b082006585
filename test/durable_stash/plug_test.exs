defmodule DurableStash.PlugTest do
  use DurableStash.Case, async: true

  import DurableStash.Plug
  import Plug.Conn
  import Plug.Test

  alias DurableStash.SessionKey

  defp request(session), do: :get |> conn("/") |> init_test_session(session)
  defp respond(conn), do: send_resp(conn, 200, "")

  describe "ensure_session_id/2" do
    test "mints 128 random bits that fit into a URL" do
      sids = for _request <- 1..100, do: request(%{}) |> ensure_session_id() |> get_session("sid")
      assert Enum.all?(sids, &(&1 =~ ~r/\A[A-Za-z0-9_-]{22}\z/))
      assert length(Enum.uniq(sids)) == 100
    end

    test "keeps an id that is there" do
      conn = %{"sid" => "of this browser", "user" => 1} |> request() |> ensure_session_id()
      assert get_session(conn) == %{"sid" => "of this browser", "user" => 1}
    end

    test "fault_68: replaces an id that cannot serve" do
      for bad <- ["", <<255>>, String.duplicate("x", 1_000_000), nil] do
        sid = request(%{"sid" => bad}) |> ensure_session_id() |> get_session("sid")
        assert sid =~ ~r/\A[A-Za-z0-9_-]{22}\z/
      end
    end

    test "raises where the application keeps something else under the key, without showing it" do
      for other <- [4_242, %{user: 4_242}, :user_4242, ~c"4242"] do
        error = assert_raise ArgumentError, fn -> ensure_session_id(request(%{"sid" => other})) end
        assert error.message =~ ~s(under "sid")
        assert error.message =~ ":session_id_key"
        refute error.message =~ "4242"
      end
    end

    test "fault_68: keeps any other text, whatever it would mean in a path" do
      for odd <- ["../../x", <<0>>, "é", "e\u0301", "a/b?c#d", String.duplicate("x", 512)] do
        assert request(%{"sid" => odd}) |> ensure_session_id() |> get_session("sid") == odd
      end
    end

    test "marks an id that it minted for this request only" do
      rendering = ensure_session_id(request(%{}))
      sid = get_session(rendering, "sid")
      assert SessionKey.minted?(get_session(rendering), sid)

      assert get_session(respond(rendering)) == %{"sid" => sid}
      next = ensure_session_id(request(get_session(respond(rendering))))
      refute SessionKey.minted?(get_session(next), sid)
    end

    test "takes the session's key" do
      conn = ensure_session_id(request(%{}), session_id_key: "browser")
      assert get_session(conn, "browser") =~ ~r/\A[A-Za-z0-9_-]{22}\z/
      assert get_session(conn, "sid") == nil
    end

    test "raises where the session was not fetched" do
      assert_raise ArgumentError, ~r/session not fetched/, fn ->
        ensure_session_id(conn(:get, "/"))
      end
    end

    test "forbids the HTTP cache, unless told not to" do
      assert request(%{}) |> ensure_session_id() |> get_resp_header("cache-control") == [
               "no-store"
             ]

      assert [kept] =
               request(%{})
               |> ensure_session_id(no_store: false)
               |> get_resp_header("cache-control")

      assert kept != "no-store"
    end

    test "fault_73: a bad option is named" do
      assert_raise ArgumentError, ~r/unknown option :key/, fn ->
        DurableStash.Plug.init(key: "sid")
      end

      assert_raise ArgumentError, ~r/:session_id_key takes a string/, fn ->
        DurableStash.Plug.init(session_id_key: :sid)
      end

      assert_raise ArgumentError, ~r/:no_store takes a boolean/, fn ->
        DurableStash.Plug.init(no_store: nil)
      end
    end

    test "is a module plug too" do
      conn = DurableStash.Plug.call(request(%{}), DurableStash.Plug.init([]))
      assert get_session(conn, "sid") =~ ~r/\A[A-Za-z0-9_-]{22}\z/
    end
  end
end
