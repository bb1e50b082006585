defmodule DurableStash.ConfigTest do
  use ExUnit.Case, async: true

  alias DurableStash.Config
  alias DurableStash.TestBackend

  @secret String.duplicate("s", 32)

  defp new(options), do: Config.new!(Keyword.put_new(options, :secret, @secret))

  test "with no backend the disk serves, under durable_stash_data" do
    assert new([]).backend == {:disk, Path.expand("durable_stash_data")}
  end

  test "the defaults are the design's" do
    assert %Config{
             prefix: "durable_stash/",
             ttl: 2_592_000_000,
             flush_after: 0,
             recover_timeout: 3_000,
             fresh_for: 0,
             single_writer: false,
             serve_stale: true,
             max_unsaved_age: 900_000,
             max_unsaved_bytes: 67_108_864,
             max_value_bytes: 1_048_576,
             max_document_bytes: 4_194_304,
             components_per_module: 100,
             on_invalid_value: :skip,
             shutdown_timeout: 20_000,
             sweep_every: 3_600_000,
             idle_after: 60_000,
             requests_in_flight: 128
           } = new([])
  end

  test "a secret becomes a list, the current one first" do
    assert new(secret: @secret).secret == [@secret]
    assert new(secret: [@secret, @secret <> "old"]).secret == [@secret, @secret <> "old"]
  end

  test "an S3 backend is completed" do
    assert {:s3, %{bucket: "b", region: nil, endpoint: nil, allow_http: false, virtual_hosted: false}} =
             new(backend: {:s3, bucket: "b"}).backend

    assert {:s3, %{endpoint: "http://127.0.0.1:9000", access_key_id: "id", secret_access_key: "key"}} =
             new(
               backend:
                 {:s3,
                  bucket: "b",
                  endpoint: "http://127.0.0.1:9000",
                  allow_http: true,
                  access_key_id: "id",
                  secret_access_key: "key"}
             ).backend
  end

  test "the test backend has a name" do
    assert {:test, name: TestBackend, latency: 0} = new(backend: TestBackend).backend

    assert {:test, name: "mine", latency: 5} =
             new(backend: {TestBackend, name: "mine", latency: 5}).backend
  end

  test "the keys for the NIF are the contract's" do
    config = new(backend: {:disk, path: "/tmp/x"})

    assert config |> Config.to_native(config.backend) |> Map.keys() |> Enum.sort() == [
             :attempt_timeout_ms,
             :backend,
             :backoff_base_ms,
             :backoff_cap_ms,
             :components_per_module,
             :connect_timeout_ms,
             :flush_after_ms,
             :fresh_for_ms,
             :idle_after_ms,
             :max_document_bytes,
             :max_unsaved_age_ms,
             :max_unsaved_bytes,
             :max_value_bytes,
             :prefix,
             :recover_timeout_ms,
             :requests_in_flight,
             :secrets,
             :serve_stale,
             :single_writer,
             :sweep_every_ms,
             :ttl_ms,
             :worker_threads
           ]
  end

  for {case, options, message} <- [
        {"an unknown option", [bucket: "b"], ~r/unknown option :bucket. The options are :backend, :secret/},
        {"a ttl that is text", [ttl: "30 days"], ~r/:ttl takes a positive number of milliseconds, got: "30 days"/},
        {"a ttl of 0", [ttl: 0], ~r/:ttl takes a positive number/},
        {"a ttl beyond a century", [ttl: 4_000_000_000_000], ~r/:ttl takes a positive number.*and the most is/},
        {"a time that no timer takes", [recover_timeout: 4_294_967_296],
         ~r/:recover_timeout takes.*got: 4294967296, and the most is 4000000000/},
        {"a shutdown_timeout without room for its margin", [shutdown_timeout: 4_294_967_295],
         ~r/:shutdown_timeout takes/},
        {"a size that no machine has", [max_value_bytes: 18_446_744_073_709_551_616], ~r/:max_value_bytes takes/},
        {"a crowd of threads", [worker_threads: 257], ~r/:worker_threads takes.*the most is 256/},
        {"an option given twice", [ttl: 1, ttl: 2], ~r/the option :ttl is given more than once/},
        {"a negative flush_after", [flush_after: -1], ~r/:flush_after takes a number of milliseconds/},
        {"a float", [recover_timeout: 3.0], ~r/:recover_timeout takes a positive number of milliseconds, got: 3.0/},
        {"a boolean that is none", [single_writer: :yes], ~r/:single_writer takes a boolean, got: :yes/},
        {"an unknown on_invalid_value", [on_invalid_value: :log],
         ~r/:on_invalid_value takes `:skip` or `:raise`, got: :log/},
        {"a prefix that is no text", [prefix: :stash], ~r/:prefix takes the start of every object's name/},
        {"an unknown backend", [backend: :redis],
         ~r/:backend takes {:disk, path: ...}, {:s3, bucket: ..., ...}.*got: :redis/},
        {"a disk without a path", [backend: {:disk, []}], ~r/backend: {:disk, ...}: the option :path is missing/},
        {"an unknown disk option", [backend: {:disk, dir: "x"}], ~r/unknown option :dir. The options are :path/},
        {"a bucket that is missing", [backend: {:s3, region: "x"}], ~r/the option :bucket is missing/},
        {"an unknown S3 option", [backend: {:s3, bucket: "b", acl: 1}], ~r/backend: {:s3, ...}: unknown option :acl/},
        {"plain HTTP that was not asked for", [backend: {:s3, bucket: "b", endpoint: "http://host"}],
         ~r/:endpoint is plain HTTP. If that is meant, add allow_http: true/},
        {"an endpoint that is no URL", [backend: {:s3, bucket: "b", endpoint: "host:9000"}], ~r/:endpoint takes a URL/},
        {"half a pair of credentials", [backend: {:s3, bucket: "b", access_key_id: "id"}],
         ~r/:access_key_id and :secret_access_key go together/},
        {"a test backend's bad name", [backend: {DurableStash.TestBackend, name: 1}],
         ~r/:name takes an atom or a string, got: 1/},
        {"a test backend's bad latency", [backend: {DurableStash.TestBackend, latency: -1}], ~r/:latency takes/}
      ] do
    test "fault_73: #{case} is named" do
      assert_raise ArgumentError, unquote(Macro.escape(message)), fn ->
        new(unquote(Macro.escape(options)))
      end
    end
  end

  test "fault_73: a secret is required" do
    assert_raise ArgumentError,
                 ~r/config :durable_stash: the option :secret is missing. It takes a binary of at least 32 bytes/,
                 fn ->
                   Config.new!([])
                 end
  end

  test "fault_73: a bad secret is named and not shown" do
    for {bad, shown} <- [
          {"hunter2", "a binary of 7 bytes"},
          {[], "an empty list"},
          {[@secret, "hunter2"], "[a binary of 32 bytes, a binary of 7 bytes]"},
          {:hunter2, "something else"},
          {%{hunter2: 1}, "something else"}
        ] do
      error = assert_raise ArgumentError, fn -> Config.new!(secret: bad) end
      assert error.message =~ "the option :secret takes a binary of at least 32 bytes"
      assert error.message =~ "got: " <> shown
      refute error.message =~ "hunter2"
    end
  end

  test "a wrong shape that may hold a secret is not shown" do
    for options <- [
          %{secret: "hunter2"},
          [:hunter2],
          [secret: [@secret | "hunter2"]],
          [secret: @secret, backend: {:s3, %{secret_access_key: "hunter2"}}],
          [secret: @secret, backend: {:s3, [bucket: "b", access_key_id: "id", secret_access_key: ~c"hunter2"]}],
          [secret: @secret, backend: {:s3, [bucket: "b", session_token: :hunter2]}],
          [secret: @secret, backend: {:s3, [bucket: "b", endpoint: ~c"https://hunter2@host"]}],
          [secret: @secret, backend: {:s3, "hunter2", []}],
          [secret: @secret, backend: %{secret_access_key: "hunter2"}],
          [secret: @secret, backend: {DurableStash.TestBackend, %{name: "hunter2"}}],
          [secret: @secret, backend: [s3: [secret_access_key: "hunter2"]]]
        ] do
      error = assert_raise ArgumentError, fn -> Config.new!(options) end
      refute error.message =~ "hunter2"
      refute error.message =~ inspect(~c"hunter2")
    end
  end

  test "neither secrets nor credentials are inspected" do
    config = new(backend: {:s3, bucket: "b", access_key_id: "id", secret_access_key: "hunter2"})
    refute inspect(config) =~ "hunter2"
    refute inspect(config) =~ @secret

    error =
      assert_raise ArgumentError, fn -> new(backend: {:s4, secret_access_key: "hunter2"}) end

    refute error.message =~ "hunter2"
  end
end
