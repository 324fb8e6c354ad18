"""The environment apart from the settings: what a child process gets of it, secrets by name, PATH."""

from __future__ import annotations

import os

from worker.settings.accounts import PASSWORD
from worker.settings.settings import Settings, is_secret, variable_of

OUR_OWN = ("SIP_PASSWORD", "SIP_PROXY_PASSWORD", "HTTP_TOKEN", "APPROVAL_TOKEN", "DIAL_TOKEN", "HEP_PASSWORD")
"""Secrets of no use to a tool: with the approvals' token it could let its own calls run."""


def named_secret(name: str) -> str | None:
    """Return a secret that a file names by its environment variable; None where that is not set, or empty."""
    return os.environ.get(name) or None


def child_environment(*, keep_secrets: bool, **extra: str) -> dict[str, str]:
    """Return the environment for a child process, with `extra` put in.

    What is the worker's alone (`OUR_OWN`, and the passwords of accounts) never goes to a child; other secrets, and what
    OFFHOOK_TOOL_SECRETS names, go only with `keep_secrets` (a tool may need one).
    """
    secrets = {variable_of(name) for name in Settings.model_fields if is_secret(name)}
    for_tools = {word.strip() for word in os.environ.get(variable_of("tool_secrets"), "").split(",")}
    own = {f"OFFHOOK_{name}" for name in OUR_OWN}
    drop = own if keep_secrets else secrets
    named = set() if keep_secrets else for_tools
    # A setting may be written in small letters; a tool's secret is read as it is written.
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.upper() not in drop and name not in named and not name.upper().startswith(PASSWORD)
    }
    return {**kept, **extra}


def tame_libraries() -> None:
    """Keep numpy's BLAS to one thread, also in children: more of them fight the audio threads for the core.

    To be called before numpy is imported, which reads it then.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def search_path() -> str:
    """Return PATH, in which programs are looked for."""
    return os.environ.get("PATH", os.defpath)
