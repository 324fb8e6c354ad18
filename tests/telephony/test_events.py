from __future__ import annotations

import dataclasses
import inspect
from typing import get_args

import pytest

from telephony import events

CLASSES = [value for value in vars(events).values() if dataclasses.is_dataclass(value) and inspect.isclass(value)]
CLASSES = [cls for cls in CLASSES if cls.__module__ == events.__name__]


def test_every_event_is_in_the_union() -> None:
    assert set(get_args(events.CallEvent)) == set(CLASSES)


@pytest.mark.parametrize("cls", CLASSES)
def test_frozen_and_small(cls: type) -> None:
    assert cls.__dataclass_params__.frozen and "__slots__" in vars(cls)  # type: ignore[attr-defined]
    names = {field.name for field in dataclasses.fields(cls)}
    assert "call_id" in names or cls in (events.RegistrationChanged, events.CallRefused)


def test_a_digit_is_not_in_the_repr() -> None:
    assert "7" not in repr(events.DigitReceived("abc", "7", "rtp"))
