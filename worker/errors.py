"""The worker's errors, in a tree by who broke the rule, since that decides who has to mend it.

    OffhookError
      OperatorError        a setting or an agent file is wrong          exit 2, nothing was started
        SettingsError      environment variables
        AgentFileError     the agent's TOML file
        EvalFileError      the TOML file of an evaluation
      HostError            the machine lacks a free port, a program, a service    exit 1
        ChildFailed        a child process did not start or did not stay up
      ProviderFault        the realtime provider broke its protocol or refused us

The SIP side's errors live in `telephony`, a tool's faults are outcomes in `tools` and never raise; what else
raises is our own bug. Each message is one or more whole lines that say what is wrong and how to mend it.
"""

from __future__ import annotations

from collections.abc import Sequence


class OffhookError(Exception):
    """Base of what `offhook` reports as a plain message, without a traceback.

    `exit_code` is the status with which the command line ends.
    """

    exit_code = 1


class OperatorError(OffhookError):
    """The configuration is wrong: nothing has been started. Exit code 2."""

    exit_code = 2

    def __init__(self, lines: str | Sequence[str]) -> None:
        """Take one line per thing that is wrong."""
        self.lines: tuple[str, ...] = (lines,) if isinstance(lines, str) else tuple(lines)
        super().__init__("\n".join(self.lines))


class SettingsError(OperatorError):
    """An environment variable is wrong; each line has its name, its value (no secret) and what is allowed."""


class AgentFileError(OperatorError):
    """The agent file is wrong; each line names the file, the key and what is allowed."""


class EvalFileError(OperatorError):
    """The file of an evaluation is wrong; each line names the file, the key and what is allowed."""


class HostError(OffhookError):
    """The machine lacks something that is needed: a free port, a program, a reachable service."""


class ChildFailed(HostError):
    """A child process did not say that it is ready, or ended before it was asked to."""


class ProviderFault(OffhookError):
    """The realtime provider broke its protocol, refused the credentials or went away for good."""
