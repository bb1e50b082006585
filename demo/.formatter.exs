# What `import_deps: [:phoenix, :phoenix_live_view]` would bring is spelled out, so that formatting is checked without Hex too.
[
  line_length: 120,
  locals_without_parens: [plug: :*, pipe_through: :*, socket: :*, live: :*, on_mount: 1, attr: :*, slot: :*],
  inputs: ["{mix,.formatter}.exs", "{config,lib}/**/*.{ex,exs}"]
]
