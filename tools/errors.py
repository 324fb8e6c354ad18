"""The errors of `tools`, by who broke the rule.

    ToolDefinitionError   the tool's author: a signature, a name or a reference to a tool is wrong; raised at load
    ToolError             a tool, while it runs: its message is meant for the model, so that the agent can say it
    ToolUnavailable       what a tool needs isn't there: nothing was done; becomes an `unavailable` outcome
    EffectUnknown         what a tool needs was lost in the middle: becomes an `unknown` outcome
    InvalidArguments      the model: arguments that do not fit; its message is for the model too
    QueueUnavailable      the operator's Redis: nothing was enqueued; becomes an `unavailable` outcome

Only ToolDefinitionError leaves this package; the others become outcomes.
"""

from __future__ import annotations


class ToolDefinitionError(Exception):
    """A tool can't be offered as it is written; the message names the function and says how to mend it."""


class ToolError(Exception):
    """Raised by a tool to say in words, fit for the caller's ears, why it has no answer.

    The message reaches the model as it is: no internals and no secrets. Any other exception is told to the model
    only as "the tool failed", and goes to the log whole.
    """


class ToolUnavailable(ToolError):
    """What the tool needs can't be reached, and certainly nothing was done. detail: for the log, without values."""

    def __init__(self, detail: str, message: str | None = None) -> None:
        """Take the detail for the log, and the words for the model; None: those of every `unavailable` outcome."""
        super().__init__(message or "")
        self.detail = detail


class EffectUnknown(Exception):
    """What the tool does may be done, or not: nobody can tell. The message is for the log, without values."""


class InvalidArguments(Exception):
    """The model's arguments do not fit the tool. The message names the field and what is wrong with it.

    reason: for the log, without any value that the model sent.
    """

    def __init__(self, message: str, reason: str) -> None:
        """Take the message for the model, and the reason for the log."""
        super().__init__(message)
        self.reason = reason


class QueueUnavailable(Exception):
    """Redis can't take the job: certainly nothing was enqueued."""
