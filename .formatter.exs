[
  line_length: 120,
  subdirectories: ["demo"],
  inputs: [
    "{mix,.formatter}.exs",
    "{config,lib,test,bench,scripts}/**/*.{ex,exs}"
  ]
]
