import Config

# For this project's own runs; an application that depends on DurableStash brings its own configuration.
if config_env() == :test do
  config :durable_stash,
    backend: DurableStash.TestBackend,
    secret: String.duplicate("the secret of the test suite, 32 ", 2)
else
  config :durable_stash, secret: "only for trying things out on a developer's machine"
end
