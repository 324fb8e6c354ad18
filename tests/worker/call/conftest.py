"""What the tests of a call's shell share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.worker.call.rig import Rig, Until
from worker.realtime import link as link_module


@pytest.fixture
async def rig(service: Any, until: Until, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """An answered call."""
    monkeypatch.setattr(link_module, "reconnect_delays", lambda spread, attempts: [0.0] * 6)
    made = Rig(service, until)
    await made.answer()
    yield made
    made.shop.gate.set()
    await made.session.close()
    await made.inline.aclose()
    assert made.faults == []


@pytest.fixture
def make(service: Any, until: Until) -> Callable[..., Rig]:
    return lambda **options: Rig(service, until, **options)
