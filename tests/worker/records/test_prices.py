"""What a usage costs: each token once, at the price of its kind; and tables that are no tables."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from worker.records.prices import PriceFileError, load_prices, shipped_prices
from worker.records.record import UsageRecord

TABLE = """
date = 2026-11-01
currency = "EUR"
[[model]]
names = ["voice-1", "our-deployment"]
source = "the contract"
read = 2026-11-01
input_text = 1
cached_text = 0.1
output_text = 2
input_audio = 10
cached_audio = 0.5
output_audio = 20
[[model]]
names = ["ears-1"]
source = "the contract"
read = 2026-11-01
minute = 0.6
[[model]]
names = ["text-only"]
source = "the contract"
read = 2026-11-01
input_text = 1
output_text = 2
"""
MILLION = 1_000_000


def table(tmp_path: Path, text: str = TABLE) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    return path


def cost(tmp_path: Path, model: str, **took: float) -> float | None:
    price = load_prices(table(tmp_path)).find(model)
    assert price is not None
    return price.of(UsageRecord(**took))


def test_each_kind_has_its_price(tmp_path: Path) -> None:
    assert cost(tmp_path, "voice-1", input_tokens=MILLION) == pytest.approx(1)
    assert cost(tmp_path, "voice-1", input_tokens=MILLION, input_audio_tokens=MILLION) == pytest.approx(10)
    assert cost(tmp_path, "voice-1", output_tokens=MILLION) == pytest.approx(2)
    assert cost(tmp_path, "voice-1", output_tokens=MILLION, output_audio_tokens=MILLION) == pytest.approx(20)
    assert cost(tmp_path, "ears-1", seconds=30) == pytest.approx(0.3)


def test_what_was_cached_is_paid_once_and_not_as_fresh(tmp_path: Path) -> None:
    """The provider's own example: of 789 tokens 476 are audio; of 640 cached ones 384 are audio."""
    took = {"input_tokens": 789, "input_audio_tokens": 476, "cached_tokens": 640, "cached_audio_tokens": 384}
    fresh_text, cached_text, fresh_audio, cached_audio = 313 - 256, 256, 476 - 384, 384
    expected = (fresh_text * 1 + cached_text * 0.1 + fresh_audio * 10 + cached_audio * 0.5) / MILLION
    assert cost(tmp_path, "voice-1", **took) == pytest.approx(expected)


def test_cached_tokens_without_a_price_of_their_own_cost_what_others_do(tmp_path: Path) -> None:
    assert cost(tmp_path, "text-only", input_tokens=MILLION, cached_tokens=MILLION) == pytest.approx(1)


def test_numbers_that_cannot_be_never_make_it_cheaper_than_nothing(tmp_path: Path) -> None:
    took = {"input_tokens": 5, "input_audio_tokens": 50, "cached_tokens": 500, "cached_audio_tokens": 5000}
    found = cost(tmp_path, "voice-1", **took, output_tokens=1, output_audio_tokens=9)
    assert found is not None and found >= 0


def test_what_has_no_price_makes_the_whole_unknown(tmp_path: Path) -> None:
    assert cost(tmp_path, "text-only", output_tokens=5, output_audio_tokens=5) is None
    assert cost(tmp_path, "ears-1", input_tokens=5) is None
    assert cost(tmp_path, "text-only") == 0


@pytest.mark.parametrize("name", ["voice-1", "our-deployment", "openai/voice-1", "voice-1-2026-05-06", "a/b/voice-1"])
def test_a_model_by_any_of_its_names(tmp_path: Path, name: str) -> None:
    found = load_prices(table(tmp_path)).find(name)
    assert found is not None and found.names[0] == "voice-1"


@pytest.mark.parametrize("name", ["voice", "voice-1-mini", "voice-1-2026", ""])
def test_another_model_is_not_guessed(tmp_path: Path, name: str) -> None:
    assert load_prices(table(tmp_path)).find(name) is None


def test_a_model_that_is_unknown_is_new_once(tmp_path: Path) -> None:
    prices = load_prices(table(tmp_path))
    assert [prices.first_time(name) for name in ("a", "b", "a")] == [True, True, False]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("currency = ", "can't be read as TOML: Invalid value"),
        ('currency = "EUR"', "date: Field required"),
        (TABLE.replace('"EUR"', '"euro"'), "currency: "),
        (TABLE.replace("date = 2026-11-01", 'date = "yesterday"'), "date: "),
        (TABLE.replace("output_text = 2\ninput_audio", "output_text = -2\ninput_audio"), "model.0.output_text: "),
        (TABLE.replace("minute", "hour"), "model.1.*hour|model.1: has no price"),
        (TABLE.replace("minute = 0.6", ""), "model.1: has no price: give minute, or input_text"),
        (TABLE.replace("minute = 0.6", "minute = nan"), "model.1.minute: "),
        (TABLE.replace('source = "the contract"\n', "", 1), "model.0.source: Field required"),
        (TABLE.replace('"ears-1"', '"voice-1"'), "model voice-1 stands there twice"),
    ],
)
def test_a_table_that_is_wrong_is_told_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(PriceFileError, match=says) as told:
        load_prices(table(tmp_path, text))
    assert "\n" not in str(told.value)


def test_bytes_that_are_no_text_are_told_too(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(PriceFileError, match="can't be read as TOML"):
        load_prices(path)


def test_the_shipped_table_names_a_source_and_a_day_for_each_figure() -> None:
    prices = shipped_prices()
    assert prices.currency == "USD" and prices.by_name
    for price in prices.by_name.values():
        assert price.source.startswith("https://") and price.read <= date.fromisoformat(prices.date)


def test_the_shipped_table_has_the_default_models() -> None:
    from worker.realtime.dialect import OPENAI
    from worker.settings.realtime import DEFAULT_MODEL

    prices = shipped_prices()
    assert prices.find(DEFAULT_MODEL) is not None
    assert OPENAI.transcriber is not None and prices.find(OPENAI.transcriber) is not None
