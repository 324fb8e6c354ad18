from __future__ import annotations

import base64
import zlib

from tools.queue.finished import STOPPED, Finished, finished


def failed(text: str) -> dict[bytes, bytes]:
    return {b"exc_string": base64.b64encode(zlib.compress(text.encode()))}


def test_a_returned_value_is_read() -> None:
    value = {b"return_value": base64.b64encode(b'{"a": [1]}')}
    assert finished(1, value) == Finished("returned", {"a": [1]})
    assert finished(1, {}).value is None


def test_a_stopped_job_is_told_from_one_that_died() -> None:
    assert finished(2, failed("Job stopped by user, work-horse terminated.")) == Finished("cancelled", reason=STOPPED)
    end = finished(2, failed("Work-horse terminated unexpectedly; waitpid returned 9 (signal 9); "))
    assert end.how == "died" and end.reason.startswith("Work-horse terminated unexpectedly")


def test_the_reason_has_the_kind_of_an_exception_and_not_its_message() -> None:
    text = (
        "Traceback (most recent call last):\n  File ...\nredis.exceptions.ConnectionError: at redis://:hunter2@host\n"
    )
    assert finished(2, failed(text)) == Finished("died", reason="redis.exceptions.ConnectionError")


def test_what_cannot_be_read_is_a_death_without_a_reason() -> None:
    assert finished(2, {b"exc_string": b"%%%"}) == Finished("died")
    assert finished(2, {}) == Finished("died")
    assert finished(1, {b"return_value": base64.b64encode(b"\x80pickle")}).value is None
