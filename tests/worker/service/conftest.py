"""What the tests of the worker's service share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.worker.call.rig import Rig


@pytest.fixture
async def rig(service: Any, until: Any) -> AsyncIterator[Rig]:
    """An answered call."""
    made = Rig(service, until)
    await made.answer()
    yield made
    made.shop.gate.set()
    await made.session.close()
    await made.inline.aclose()
