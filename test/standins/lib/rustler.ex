defmodule Rustler do
  @moduledoc false
  # Builds the crate with cargo into priv/native and loads it when the module is loaded.

  defmacro __using__(options) do
    quote bind_quoted: [options: options] do
      environment = Application.compile_env(Keyword.fetch!(options, :otp_app), __MODULE__, [])
      crate = Rustler.Crate.compile(Keyword.merge(options, environment))

      for resource <- crate.external_resources do
        @external_resource resource
      end

      @rustler_load_from crate.load_from
      @rustler_load_data crate.load_data
      @before_compile Rustler
    end
  end

  defmacro __before_compile__(_env) do
    quote do
      @on_load :rustler_init

      @doc false
      def rustler_init do
        :code.purge(__MODULE__)
        {otp_app, path} = @rustler_load_from
        library = otp_app |> Application.app_dir(path) |> to_charlist()
        :erlang.load_nif(library, @rustler_load_data)
      end
    end
  end
end
