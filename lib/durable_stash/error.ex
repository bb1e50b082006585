defmodule DurableStash.Error do
  @moduledoc """
  Why something did not happen.

  Functions return it as `{:error, %DurableStash.Error{}}`; adapter callbacks log it and hand the socket back. Match on
  `:kind`, never on `:message`.

  | kind             | what happened                                                            | what helps                                          |
  |------------------|--------------------------------------------------------------------------|-----------------------------------------------------|
  | `:invalid_value` | a value is not JSON-safe; the message names the path to the culprit      | store another shape of it                           |
  | `:too_large`     | a value is over `max_value_bytes`, or the document over `max_document_bytes` | store less                                      |
  | `:superseded`    | the tab has mounted again, this LiveView changes nothing any more        | nothing: its successor lives                        |
  | `:overloaded`    | too much is accepted and not saved yet                                   | nothing: the next stash sends it again              |
  | `:unavailable`   | the store does not answer, or a write was given up                       | nothing: the next stash sends it again              |
  | `:timeout`       | the caller's time ran out; the outcome is open                           | ask again                                           |
  | `:refused`       | the store or the session refuses: bucket, credentials, conditions, or no session id | the operator                             |
  | `:corrupt`       | the stored object is damaged; it was copied aside                        | the operator                                        |
  | `:newer_format`  | a newer release wrote the object                                         | finish the deploy                                   |
  | `:engine_down`   | the engine is stopped, draining, or was not started                      | nothing while it restarts; else start it            |
  """

  @kinds [
    :invalid_value,
    :too_large,
    :superseded,
    :overloaded,
    :unavailable,
    :timeout,
    :refused,
    :corrupt,
    :newer_format,
    :engine_down
  ]

  @enforce_keys [:kind, :message]
  defexception [:kind, :message]

  @type kind ::
          :invalid_value
          | :too_large
          | :superseded
          | :overloaded
          | :unavailable
          | :timeout
          | :refused
          | :corrupt
          | :newer_format
          | :engine_down

  @type t :: %__MODULE__{kind: kind(), message: String.t()}

  @doc "Every kind, in the order of the table above."
  @spec kinds() :: [kind(), ...]
  def kinds, do: @kinds

  @doc false
  # The same without the keys of maps that the message quotes: what is no identifier may be a visitor's data.
  @spec discreet(t()) :: t()
  def discreet(%__MODULE__{message: message} = error) do
    %{error | message: Regex.replace(~r/(?<!:)"(?:[^"\\]|\\.)*"/us, message, "…")}
  end

  @doc false
  @spec new(kind(), String.t()) :: t()
  def new(kind, message) when kind in @kinds and is_binary(message),
    do: %__MODULE__{kind: kind, message: message}
end
