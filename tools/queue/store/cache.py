"""Answers that are good for a while: the same tool with the same arguments isn't run again before that."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tools.define.spec import ToolSpec
from tools.queue import names
from tools.tool_call.outcome import Outcome

if TYPE_CHECKING:
    from redis import Redis


def key_of(
    spec: ToolSpec, arguments: Mapping[str, Any], caller: str, dialled: str, facts: Mapping[str, Any] | None = None
) -> str:
    """Return where an answer is kept. arguments: the model's, read; they have to fit the tool.

    A tool that knows who calls may answer each caller otherwise: its answers are kept for each apart. The tool's
    version is in the key, so that a new version starts with nothing.
    """
    who: list[Any] = [caller, dialled, *([dict(facts)] if facts else [])] if spec.signature.context else []
    text = json.dumps([spec.version, spec.signature.canonical(arguments), *who], sort_keys=True)
    return names.cache_key(spec.name, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32])


def read(redis: Redis, key: str) -> Outcome | None:
    """Return an answer that is still good, marked as `cached`."""
    found = redis.get(key)
    if not isinstance(found, bytes):
        return None
    try:
        outcome = Outcome.from_dict(json.loads(found))
    except ValueError:  # nothing of ours: the tool is asked again
        return None
    return replace(outcome, cached=True, wait_ms=0, run_ms=0) if outcome.status == "ok" else None


def write(redis: Redis, key: str, spec: ToolSpec, outcome: Outcome) -> None:
    """Keep an answer for as long as the tool says that it is good; only what is whole and went well."""
    if spec.cache_s and outcome.status == "ok" and not outcome.cached and outcome.handle is None:
        redis.set(key, json.dumps(outcome.as_dict()), px=math.ceil(spec.cache_s * 1000))
