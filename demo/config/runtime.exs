import Config

# A demo on one's own machine: what matters is that a restarted server has the secrets of the one before.
secret = System.get_env("DEMO_SECRET", String.duplicate("a demo keeps no secrets, ", 4))

backend =
  case System.fetch_env("DEMO_S3_BUCKET") do
    :error ->
      {:disk, path: System.get_env("DEMO_DATA", Path.expand("../data", __DIR__))}

    # The credentials are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the machine's own.
    {:ok, bucket} ->
      endpoint = System.get_env("DEMO_S3_ENDPOINT")
      plain? = String.starts_with?(endpoint || "", "http://")
      {:s3, bucket: bucket, region: System.get_env("AWS_REGION"), endpoint: endpoint, allow_http: plain?}
  end

config :durable_stash, backend: backend, secret: secret

with {:ok, ttl} <- System.fetch_env("DEMO_TTL") do
  config :durable_stash, ttl: String.to_integer(ttl)
end

config :stash_demo, StashDemoWeb.Endpoint,
  http: [ip: {127, 0, 0, 1}, port: String.to_integer(System.get_env("PORT", "4000"))],
  secret_key_base: secret

config :stash_demo,
  version: String.to_integer(System.get_env("DEMO_VERSION", "1")),
  # Whoever restarts the server when it ends names a file here, and finds in it which version to start.
  next_version_file: System.get_env("DEMO_NEXT_VERSION_FILE")
