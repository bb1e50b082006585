defmodule DurableStash.SessionKeyTest do
  use ExUnit.Case, async: true

  alias DurableStash.SessionKey

  test "a minted id is 128 bits in 22 characters, and valid" do
    sid = SessionKey.mint()
    assert {:ok, <<_bits::128>>} = Base.url_decode64(sid, padding: false)
    assert SessionKey.valid?(sid)
  end

  test "fault_68: only UTF-8 text of 1 to 512 bytes is an id" do
    for good <- ["x", "../../x", <<0>>, "é", String.duplicate("x", 512)],
        do: assert(SessionKey.valid?(good))

    for bad <- [
          "",
          String.duplicate("x", 513),
          <<255>>,
          <<1::3>>,
          nil,
          1,
          :sid,
          ~c"sid",
          %{},
          ["sid"]
        ],
        do: refute(SessionKey.valid?(bad))
  end

  test "fetches the id from a session, whatever the session is" do
    assert SessionKey.fetch(%{"sid" => "a"}, "sid") == {:ok, "a"}

    for session <- [%{}, %{"sid" => ""}, %{sid: "a"}, nil, [], "sid"],
        do: assert(SessionKey.fetch(session, "sid") == :error)
  end

  test "the mark of a minted id is for that id only" do
    session = %{SessionKey.minted_key() => "a"}
    assert SessionKey.minted?(session, "a")
    refute SessionKey.minted?(session, "b")
    refute SessionKey.minted?(%{}, "a")
    refute SessionKey.minted?(%{}, nil)
  end
end
