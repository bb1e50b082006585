defmodule Rustler.Crate do
  @moduledoc false

  @enforce_keys [:otp_app, :crate, :path, :load_from]
  defstruct [
    :otp_app,
    :crate,
    :path,
    :load_from,
    mode: :release,
    features: [],
    default_features: true,
    env: [],
    load_data: 0,
    skip_compilation?: false,
    external_resources: []
  ]

  @priv "priv/native"

  def compile(options) do
    otp_app = Keyword.fetch!(options, :otp_app)
    name = to_string(Keyword.get(options, :crate, otp_app))

    crate =
      struct!(
        __MODULE__,
        Keyword.merge(
          [path: "native/#{name}", load_from: {otp_app, "#{@priv}/#{name}"}],
          Keyword.put(options, :crate, name)
        )
      )

    if crate.skip_compilation?, do: crate, else: build(crate)
  end

  defp build(crate) do
    Mix.shell().info("Compiling crate #{crate.crate} in #{crate.mode} mode (#{crate.path})")
    metadata = cargo_json!(crate, ~w(metadata --format-version=1 --no-deps))
    cargo!(crate, ["build", "--quiet", "-p", crate.crate | flags(crate)], into: IO.stream())

    profile = if crate.mode == :release, do: "release", else: "debug"

    built =
      Path.join([metadata["target_directory"], profile, "lib#{crate.crate}#{suffix(:built)}"])

    library = Path.join(@priv, crate.crate <> suffix(:loaded))

    # Removed first: writing into a library that a running VM has mapped would crash it.
    File.mkdir_p!(@priv)
    File.rm(library)
    File.cp!(built, library)
    Mix.Project.build_structure()

    %{crate | external_resources: sources(metadata, crate.crate)}
  end

  defp flags(crate) do
    List.flatten([
      if(crate.mode == :release, do: "--release", else: []),
      if(crate.default_features, do: [], else: "--no-default-features"),
      if(crate.features == [], do: [], else: ["--features", Enum.join(crate.features, ",")])
    ])
  end

  defp suffix(which) do
    case {:os.type(), which} do
      {{:unix, :darwin}, :built} -> ".dylib"
      {{:unix, _name}, _which} -> ".so"
    end
  end

  # The crate's own files and those of the workspace's crates that it depends on.
  defp sources(metadata, name) do
    crates = Map.new(metadata["packages"], &{&1["name"], &1})

    for crate <- local_crates([name], crates, []),
        directory = Path.dirname(crates[crate]["manifest_path"]),
        file <- [directory <> "/Cargo.toml" | Path.wildcard(directory <> "/src/**/*.rs")],
        do: file
  end

  defp local_crates([], _crates, found), do: found

  defp local_crates([name | rest], crates, found) do
    if name in found do
      local_crates(rest, crates, found)
    else
      local =
        for %{"path" => path, "name" => dependency} when path != nil <-
              crates[name]["dependencies"],
            do: dependency

      local_crates(local ++ rest, crates, [name | found])
    end
  end

  defp cargo_json!(crate, arguments), do: JSON.decode!(cargo!(crate, arguments, []))

  defp cargo!(crate, arguments, options) do
    case System.cmd("cargo", arguments, [cd: crate.path, env: crate.env] ++ options) do
      {output, 0} ->
        output

      {_output, status} ->
        raise "cargo #{hd(arguments)} of #{crate.crate} failed with status #{status}"
    end
  end
end
