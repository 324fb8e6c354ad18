"""Scenes of the turn machine."""

from __future__ import annotations

import pytest

from tests.worker.turns.scene import Scene


@pytest.fixture
def scene() -> Scene:
    """A call with a session and media, and nothing said yet."""
    scene = Scene()
    scene.connect()
    return scene


@pytest.fixture
def asked(scene: Scene) -> Scene:
    """The caller has said something."""
    scene.caller_speaks()
    scene.caller_stops()
    return scene
