"""What a typed line means, and that lines come from a thread without losing the last one."""

from __future__ import annotations

import asyncio
import io

import pytest

from worker.console.typed import Typed, Typist, read


@pytest.mark.parametrize(
    ("line", "typed"),
    [
        ("where is my order?\n", Typed("words", "where is my order?")),
        ("  hello  \n", Typed("words", "hello")),
        ("\n", Typed("nothing")),
        ("/hangup\n", Typed("hangup")),
        ("/keys 42 7#\n", Typed("keys", "427#")),
        ("/keys a*\n", Typed("keys", "A*")),
    ],
)
def test_a_line_is_words_keys_or_the_end(line: str, typed: Typed) -> None:
    assert read(line) == typed


@pytest.mark.parametrize("line", ["/keys", "/keys x", "/quit", "/", "/keys 4 2 7 e"])
def test_a_command_that_there_is_not_says_which_there_are(line: str) -> None:
    found = read(line)
    assert found.what == "wrong" and "/keys" in found.text and "/hangup" in found.text


async def test_every_line_comes_and_then_the_end() -> None:
    prompts: list[str] = []
    typist = Typist(io.StringIO("one\ntwo\nthree"), lambda: prompts.append("> "))
    typist.start()
    async with asyncio.timeout(10):
        assert [await typist.next() for _ in range(4)] == ["one\n", "two\n", "three", None]
    assert len(prompts) == 4
