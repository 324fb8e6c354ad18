from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.sip.number import is_number, matches, normal, normal_pattern


@pytest.mark.parametrize(
    "text, form",
    [
        ("+1-555-0100", "+15550100"),
        ("+1 (555) 0100", "+15550100"),
        ("555.0100", "5550100"),
        ("*72#", "*72#"),
        ("alice-1", "alice-1"),
        ("a.b", "a.b"),
        ("", ""),
        ("---", "---"),
        ("1+2", "1+2"),
    ],
)
def test_one_form(text: str, form: str) -> None:
    assert normal(text) == form


@pytest.mark.parametrize(
    "pattern, form",
    [
        ("+1-555-*", "+1555*"),
        ("(030) 12[0-9]?", "03012[0-9]?"),
        ("sales-*", "sales-*"),
        ("*", "*"),
        ("*-*", "*-*"),
        ("+1 555 [!0-4]", "+1555[!0-4]"),
        ("[0-9][0-9]-[0-9]", "[0-9][0-9][0-9]"),
    ],
)
def test_patterns(pattern: str, form: str) -> None:
    assert normal_pattern(pattern) == form


def test_matching() -> None:
    assert matches("+15550123", "+1-555-01*") and matches("+1 555 0123", "+1555012[0-5]")
    assert not matches("+15550127", "+1-555-012[0-5]")
    assert matches("sales-berlin", "sales-*") and not matches("salesberlin", "sales-*")
    assert not matches("Alice", "alice")


@settings(deadline=None)
@given(st.text("0123456789+*#-.() ", max_size=20))
def test_the_normal_form_is_its_own(text: str) -> None:
    assert normal(normal(text)) == normal(text)
    assert is_number(normal(text)) == is_number(text)


@settings(deadline=None)
@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_and_any_pattern(text: str, pattern: str) -> None:
    assert matches(text, pattern) in (True, False)
    assert matches(text, "*")
