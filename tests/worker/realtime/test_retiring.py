import datetime

from worker.realtime.dialect import OPENAI
from worker.realtime.retiring import ENDS, ending
from worker.settings.realtime import DEFAULT_MODEL

TODAY = datetime.date(2026, 11, 26)


def test_a_model_with_an_end_has_a_successor_that_has_none():
    for model, (day, successor) in ENDS.items():
        assert ending(model, TODAY) == (f"{model} is switched off on {day}", successor)
        assert ending(successor, TODAY) is None


def test_a_snapshot_ends_with_its_model_and_others_do_not():
    assert "2027-01-20" in ending("gpt-realtime-2025-08-28", TODAY)[0]
    assert ending("gpt-realtime-2.1", TODAY) is None and ending("gpt-realtime-2", TODAY) is None
    assert "was switched off" in ending("gpt-realtime", datetime.date(2027, 1, 20))[0]


def test_our_defaults_have_no_end():
    assert ending(DEFAULT_MODEL, TODAY) is None and ending(OPENAI.transcriber, TODAY) is None
