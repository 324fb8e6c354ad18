"""Errors of the local realtime server, by who broke the rule.

    RequestError         the client: becomes an `error` event, the session goes on
    DialogueError        who wrote the dialogue file: stops the start with one line
    SpeechUnavailable    the installation: a package or a voice is missing

None of them is a fault of this server's own.
"""

from __future__ import annotations

__all__ = ["DialogueError", "RequestError", "SpeechUnavailable"]


class RequestError(Exception):
    """A client event that the service would refuse.

    code: machine-readable, as the service names it. param: the path of the field, such as
    `session.audio.input.format.type`. kind: the error's type on the wire.
    """

    def __init__(
        self, message: str, *, code: str | None, param: str | None = None, kind: str = "invalid_request_error"
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind


class DialogueError(ValueError):
    """A dialogue file that can't be used; the text is one line: file, key, what is wrong, nearest allowed key."""


class SpeechUnavailable(RuntimeError):
    """A speech engine can't be used; the text says what to install or which voice to choose."""
