from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tools.tool_call.outcome import Outcome, returned
from tools.tool_call.pages import MOST_PAGES, PAGE, outline, pages_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=80), inner, max_size=30),
)


@given(st.text(max_size=3 * PAGE))
def test_pages_are_the_text(text: str) -> None:
    pages = pages_of(text)
    assert "".join(pages) == text
    assert all(0 < len(page) <= PAGE for page in pages)


def test_there_is_an_end_to_pages() -> None:
    assert len(pages_of("x" * (PAGE * (MOST_PAGES + 2)))) == MOST_PAGES


@given(JSON)
def test_an_outline_is_short_whatever_it_is_of(value: object) -> None:
    assert len(json.dumps(outline(value))) < 15_000


def test_an_outline_says_what_there_is() -> None:
    value = {"orders": [{"id": 1, "text": "x" * 100}] * 812, "page": 2, "note": "n" * 99}
    assert outline(value) == {
        "orders": ["812 items, such as", "object with 2 fields"],
        "page": 2,
        "note": "text of 99 characters",
    }
    assert outline([]) == "list of 0"
    assert outline({str(n): n for n in range(20)})["..."] == "8 more fields"  # type: ignore[index]


def test_a_result_that_is_too_large_is_kept_and_the_handle_told() -> None:
    kept: list[str] = []

    def keep(text: str) -> tuple[str, int]:
        kept.append(text)
        return "h1", 3

    outcome = returned({"rows": ["x" * 50] * 100}, limit=1000, keep=keep)
    told = json.loads(outcome.output)
    assert (told["handle"], told["pages"], outcome.handle) == ("h1", 3, "h1")
    assert json.loads(kept[0]) == {"rows": ["x" * 50] * 100}
    assert Outcome.from_dict(outcome.as_dict()).handle == "h1"
    assert returned({"a": 1}, keep=keep).handle is None
