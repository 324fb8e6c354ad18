"""What the end-to-end tests stand on leaves nothing behind when it can't start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from parts.program import descendants
from parts.services import OwnDesk


def test_a_desk_that_does_not_come_up_takes_its_redis_with_it(tmp_path: Path) -> None:
    agent = tmp_path / "agent.toml"
    agent.write_text('greting = "Hello."\n')
    before = set(descendants(os.getpid()))
    with pytest.raises(AssertionError, match="there is no such key; did you mean greeting"):
        OwnDesk(tmp_path, agent, "ws://127.0.0.1:9/v1")
    assert set(descendants(os.getpid())) <= before
