import io
import json
import logging

import pytest
import structlog

from worker.log import REDACTED, setup_logging


@pytest.fixture
def lines():
    out = io.StringIO()
    setup_logging("debug", "json", out, process="test")
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if getattr(handler, "offhook", False)]:
        root.removeHandler(handler)
    root.setLevel(logging.WARNING)
    structlog.reset_defaults()


def test_a_line_is_json_with_event_level_time_and_fields(lines) -> None:
    structlog.get_logger("worker.session").info("call_answered", call_id="c1", after_ms=12)
    (line,) = lines()
    assert line["event"] == "call_answered" and line["call_id"] == "c1" and line["after_ms"] == 12
    assert line["level"] == "info" and line["logger"] == "worker.session" and line["process"] == "test"
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    "key",
    ["api_key", "openai_api_key", "password", "Authorization", "token", "digit", "digits", "audio", "client_secret"],
)
def test_secrets_digits_and_audio_are_taken_out_by_key(lines, key: str) -> None:
    structlog.get_logger("x").info("event", **{key: "4711"}, nested={key: "4711"}, listed=[{key: "4711"}])
    (line,) = lines()
    assert line[key] == REDACTED and line["nested"] == {key: REDACTED} and line["listed"] == [{key: REDACTED}]


def test_words_that_only_look_alike_stay(lines) -> None:
    structlog.get_logger("x").info("event", monkey=1, token_count=2, audio_ms=3, digits_seen=4, key_path="a.b")
    (line,) = lines()
    assert (line["monkey"], line["token_count"], line["audio_ms"], line["digits_seen"]) == (1, 2, 3, 4)
    assert line["key_path"] == "a.b"


def test_secrets_are_taken_out_of_texts_and_tracebacks(lines) -> None:
    log = structlog.get_logger("x")
    log.info("connect", url="redis://user:hush@host/0", header="Bearer hush-hush", text="key sk-hush12345 refused")
    try:
        raise ValueError("refused sk-hush12345")
    except ValueError:
        log.exception("failed")
    first, second = lines()
    assert "hush" not in json.dumps([first, second])
    assert first["url"] == f"redis://{REDACTED}@host/0"
    assert "ValueError" in second["exception"]


def test_known_secrets_are_taken_out_however_they_look() -> None:
    out = io.StringIO()
    setup_logging("info", "json", out, secrets=["correct horse", "tab\there", "abc"])
    log = structlog.get_logger("x")
    log.info("event", text="it is 'correct horse', they say", nested=[{"deep": "tab\there abc"}])
    try:
        raise KeyError("tab\there")  # its text is a repr
    except KeyError:
        log.exception("failed")
    first, second = map(json.loads, out.getvalue().splitlines())
    assert first["text"] == f"it is '{REDACTED}', they say"
    assert first["nested"] == [{"deep": f"{REDACTED} abc"}], "three letters are no secret"
    assert REDACTED in second["exception"] and "there" not in second["exception"].rpartition("KeyError")[2]


def test_bytes_are_told_by_their_number_only(lines) -> None:
    structlog.get_logger("x").info("frame", frame=b"\x00" * 320)
    assert lines()[0]["frame"] == "[320 bytes]"


def test_the_standard_librarys_loggers_go_the_same_way(lines) -> None:
    logging.getLogger("some.library").warning("lost %s", "it", extra={"password": "hush"})
    (line,) = lines()
    assert line["event"] == "lost it" and line["logger"] == "some.library" and line["password"] == REDACTED


def test_setting_up_again_does_not_double_the_lines(lines) -> None:
    out = io.StringIO()
    setup_logging("info", "json", out)
    log = structlog.get_logger("x")
    log.debug("hidden")
    log.info("once")
    assert len(out.getvalue().splitlines()) == 1 and lines() == []


def test_the_console_form_is_for_people() -> None:
    out = io.StringIO()
    setup_logging("info", "console", out)
    structlog.get_logger("x").info("call_answered", call_id="c1", password="hush")
    assert "call_answered" in out.getvalue() and "hush" not in out.getvalue()
    assert not out.getvalue().startswith("{")
