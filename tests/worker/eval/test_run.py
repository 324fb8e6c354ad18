"""Who plays and who judges: the file's text model where its key is set, the rules where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worker.errors import OperatorError
from worker.eval.eval_file import EvalFile
from worker.eval.plan import plans
from worker.eval.run import _model_of

RULES = [{"hears": "hello", "say": "hi"}]
PATH = Path("e.toml")


def file(key: str | None = "EVAL_TEST_KEY", **persona: Any) -> EvalFile:
    model = {"url": "http://127.0.0.1:1/v1", "name": "m", **({"key": key} if key else {})}
    scenario = {"name": "a", "persona": {"who": "Anna", **persona}, "expect": {"judged": ["It is polite."]}}
    return EvalFile.model_validate({"scenario": [scenario], "ears": {"lines": ["hello"]}, "model": model})


def who_plays(given: EvalFile) -> str:
    return plans(given, played=_model_of(given, PATH, None) is not None)[0][1].who


def test_with_its_key_the_model_plays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVAL_TEST_KEY", "sk-0123")
    found = _model_of(file(), PATH, None)
    assert found is not None and found.key == "sk-0123" and who_plays(file(rules=RULES)) == "Anna"
    assert who_plays(file(key=None)) == "Anna", "an endpoint that wants none"


@pytest.mark.parametrize("value", [None, ""])
def test_without_it_the_rules_play_and_that_nobody_judges_is_said(
    value: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("EVAL_TEST_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("EVAL_TEST_KEY", value)
    assert who_plays(file(rules=RULES)) == ""
    assert capsys.readouterr().err == "a: judged by no model (EVAL_TEST_KEY is not set)\n"


def test_without_it_and_without_rules_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVAL_TEST_KEY", raising=False)
    with pytest.raises(OperatorError, match="e.toml: a: EVAL_TEST_KEY is not set, and its persona has no rules"):
        _model_of(file(), PATH, None)
    assert _model_of(file(), PATH, "another") is None
