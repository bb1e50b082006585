defmodule DurableStash.OptionsTest do
  use ExUnit.Case, async: true

  alias DurableStash.Options

  test "a bare key is of the session" do
    options = Options.new!(stored_keys: [:count, theme: :session, draft: :reconnect])
    assert options.session_keys == [:count, :theme]
    assert options.tab_keys == [:draft]
  end

  test "shared keys are their own, and those that are pushed are known" do
    options = Options.new!(stored_keys: [:a, b: {:session, sync: true}, c: :shared, d: {:shared, sync: true}])
    assert options.session_keys == [:a, :b]
    assert options.shared_keys == [:c, :d]
    assert options.sync_keys == [:b, :d]
    assert Options.new!(stored_keys: [a: {:reconnect, sync: false}]).tab_keys == [:a]
  end

  test "the defaults" do
    assert %Options{
             vsn: 1,
             migrate: nil,
             secret: nil,
             session_id_key: "sid",
             engine: DurableStash.Engine,
             status: nil,
             durability: :async
           } = Options.new!(stored_keys: [])
  end

  test "LiveStash's own option is accepted" do
    assert %Options{auto_stash: true} = Options.new!(stored_keys: [:a], auto_stash: true)
  end

  test "a secret is a binary or a list of them" do
    secret = String.duplicate("s", 32)
    assert %Options{secret: [^secret]} = Options.new!(stored_keys: [:a], secret: secret)

    assert %Options{secret: [^secret, ^secret]} =
             Options.new!(stored_keys: [:a], secret: [secret, secret])
  end

  for {case, options, message} <- [
        {"an unknown option", [stored_keys: [:a], ttl: 1], ~r/unknown option :ttl. The options are :stored_keys, :vsn/},
        {"no stored keys", [vsn: 1], ~r/the option :stored_keys is missing/},
        {"stored keys that are no list", [stored_keys: :a], ~r/:stored_keys takes a list such as/},
        {"a stored key that is no atom", [stored_keys: ["a"]], ~r/:stored_keys holds atoms and pairs.*"a"/},
        {"a stored key twice", [stored_keys: [:a, a: :reconnect]], ~r/:a is in :stored_keys more than once/},
        {"an unknown scope", [stored_keys: [a: :forever]],
         ~r/the scope of :a in :stored_keys is :session, :shared or :reconnect.*got: :forever/},
        {"an unknown scope with an option", [stored_keys: [a: {:forever, sync: true}]],
         ~r/the scope of :a in :stored_keys is :session, :shared or :reconnect.*got: \{:forever, \[sync: true\]\}/},
        {"an option that no scope has", [stored_keys: [a: {:shared, ttl: 1}]],
         ~r/the scope of :a in :stored_keys: unknown option :ttl. The options are :sync/},
        {"a sync that is no boolean", [stored_keys: [a: {:shared, sync: :now}]],
         ~r/the scope of :a in :stored_keys: the option :sync takes a boolean, got: :now/},
        {"a tab's key that is to be pushed", [stored_keys: [a: {:reconnect, sync: true}]],
         ~r/sync: true of :a in :stored_keys is for :session and :shared/},
        {"scope options that are no list", [stored_keys: [a: {:shared, :sync}]],
         ~r/the scope of :a in :stored_keys takes a keyword list/},
        {"the reserved scope", [stored_keys: [a: :permanent]],
         ~r/:permanent of :a in :stored_keys is reserved.*:session, :shared and :reconnect/},
        {"an assign of LiveView's own", [stored_keys: [:flash]],
         ~r/:flash in :stored_keys is not an assign that can be set/},
        {"stored keys that are no proper list", [stored_keys: [:a | :b]], ~r/:stored_keys takes a proper list/},
        {"an option given twice", [stored_keys: [:a], vsn: 1, vsn: 2], ~r/the option :vsn is given more than once/},
        {"a status of LiveView's own", [stored_keys: [:a], status: :flash],
         ~r/:flash in the option :status is not an assign that can be set/},
        {"an assign that renders are made of", [stored_keys: [:__changed__]], ~r/:__changed__ in :stored_keys/},
        {"a vsn of 0", [stored_keys: [:a], vsn: 0], ~r/:vsn takes a positive integer, got: 0/},
        {"a vsn that is text", [stored_keys: [:a], vsn: "1"], ~r/:vsn takes a positive integer, got: "1"/},
        {"a migration that is no function", [stored_keys: [:a], migrate: :up],
         ~r/:migrate takes a function of two arguments/},
        {"an empty session id key", [stored_keys: [:a], session_id_key: ""], ~r/:session_id_key takes a string/},
        {"an engine that is no name", [stored_keys: [:a], engine: "engine"], ~r/:engine takes the name of an engine/},
        {"a status that is no name", [stored_keys: [:a], status: true], ~r/:status takes the name of an assign/},
        {"a status that is stored", [stored_keys: [:a], status: :a],
         ~r/:a of the option :status is also in :stored_keys/},
        {"an unknown durability", [stored_keys: [:a], durability: :sync], ~r/:durability takes `:async` or `:await`/},
        {"options that are no keyword list", %{stored_keys: [:a]}, ~r/takes a keyword list/}
      ] do
    test "fault_73: #{case} is named" do
      assert_raise ArgumentError, unquote(Macro.escape(message)), fn ->
        Options.new!(unquote(Macro.escape(options)))
      end
    end
  end

  test "fault_73: a short secret is named and not shown" do
    error =
      assert_raise ArgumentError, fn -> Options.new!(stored_keys: [:a], secret: "hunter2") end

    assert error.message =~ ":secret takes a binary of at least 32 bytes"
    assert error.message =~ "got: a binary of 7 bytes"
    refute error.message =~ "hunter2"
  end

  test "the secret is not inspected" do
    secret = "secret secret secret secret secret"
    refute inspect(Options.new!(stored_keys: [:a], secret: secret)) =~ secret
  end
end
