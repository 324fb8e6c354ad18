from __future__ import annotations

import base64

import pytest

from tools.queue.sealed_digits import DigitsKey, NotForUs, new_key

TYPED = {"card": "4111111111111111"}


def test_who_has_the_key_reads_it_and_nobody_else() -> None:
    text = new_key()
    key = DigitsKey.read(text)
    sealed = key.seal("job-1", TYPED)
    assert key.open("job-1", sealed) == TYPED
    for piece in (sealed.encode(), base64.b64decode(sealed)):
        assert b"4111" not in piece
    with pytest.raises(NotForUs):
        DigitsKey.read(new_key()).open("job-1", sealed)
    assert text not in repr(key)


def test_it_opens_for_its_own_job_and_unchanged_alone() -> None:
    key = DigitsKey.read(new_key())
    sealed = key.seal("job-1", TYPED)
    for job, text in (("job-2", sealed), ("job-1", sealed[:-8] + "AAAAAAA="), ("job-1", "?"), ("job-1", None)):
        with pytest.raises(NotForUs):
            key.open(job, text)


@pytest.mark.parametrize("text", ["", "offhook-digits-", "offhook-digits-abc", "offhook-secret-" + "A" * 43])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="offhook keys digits"):
        DigitsKey.read(text)
