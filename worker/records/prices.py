"""What a call costs: a dated table of prices by model, and the sum over what the call took. Pure, but for one file.

The shipped table is `prices.toml` beside this file; it says where each figure stands and when it was read.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from worker.records.record import UsageRecord

__all__ = ["SHIPPED", "ModelPrice", "PriceFileError", "Prices", "Tariff", "load_prices", "shipped_prices"]

SHIPPED = Path(__file__).parent / "prices.toml"
MILLION = 1e6
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class PriceFileError(ValueError):
    """A table that can't be used; its text says what, where and what is allowed."""


class ModelPrice(BaseModel):
    """What one model costs: by million tokens of each kind, or by the minute of audio. Left out: not known."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    names: list[str] = Field(min_length=1, description="the model's name, and others that mean it (a deployment's)")
    source: str = Field(min_length=1, description="where the figures stand")
    read: date = Field(description="the day on which they stood there")
    input_text: Amount | None = None
    cached_text: Amount | None = Field(default=None, description="left out: as input_text")
    output_text: Amount | None = None
    input_audio: Amount | None = None
    cached_audio: Amount | None = Field(default=None, description="left out: as input_audio")
    output_audio: Amount | None = None
    minute: Amount | None = Field(
        default=None,
        description="a minute: of a transcriber's audio; of a realtime model's session, whatever its tokens",
    )

    @model_validator(mode="after")
    def _says_something(self) -> ModelPrice:
        if all(price is None for price in (self.input_text, self.output_text, self.input_audio, self.minute)):
            raise ValueError("has no price: give minute, or input_text, output_text, input_audio, output_audio")
        return self

    def of(self, usage: UsageRecord) -> float | None:
        """Return what this usage costs; None where it has something that the table has no price for.

        Cached tokens are part of the input, and are paid for once, at their own price.
        """
        total = 0.0
        for count, price in self._parts(usage):
            if count and price is None:
                return None
            total += count * (price or 0.0)
        return total

    def _parts(self, usage: UsageRecord) -> Iterator[tuple[float, float | None]]:
        """How much of each kind there was (millions of tokens, minutes), and what one of it costs."""
        cached_audio = min(usage.cached_audio_tokens, usage.cached_tokens, usage.input_audio_tokens)
        input_text = max(0, usage.input_tokens - usage.input_audio_tokens)
        cached_text = min(usage.cached_tokens - cached_audio, input_text)
        yield (input_text - cached_text) / MILLION, self.input_text
        yield cached_text / MILLION, self.input_text if self.cached_text is None else self.cached_text
        yield (usage.input_audio_tokens - cached_audio) / MILLION, self.input_audio
        yield cached_audio / MILLION, self.input_audio if self.cached_audio is None else self.cached_audio
        yield max(0, usage.output_tokens - usage.output_audio_tokens) / MILLION, self.output_text
        yield usage.output_audio_tokens / MILLION, self.output_audio
        yield usage.seconds / 60, self.minute


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    date: date
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    model: list[ModelPrice] = []


@dataclass(slots=True)
class Prices:
    """A table of prices. currency: ISO 4217. date: the day that the table is of, as YYYY-MM-DD."""

    date: str
    currency: str
    by_name: dict[str, ModelPrice] = field(default_factory=dict)
    _unknown: set[str] = field(default_factory=set)

    def find(self, model: str) -> ModelPrice | None:
        """Return a model's prices; a maker before the name (`openai/`) and a snapshot's date after it don't matter."""
        bare = model.rpartition("/")[2]
        names = (model, bare, _SNAPSHOT.sub("", bare))
        return next((self.by_name[name] for name in names if name in self.by_name), None)

    def first_time(self, model: str) -> bool:
        """Whether a model without a price is met for the first time: it is worth one line in the log."""
        new = model not in self._unknown
        self._unknown.add(model)
        return new


@dataclass(frozen=True, slots=True)
class Tariff:
    """By which table one call is priced, and for which models."""

    prices: Prices
    model: str
    transcriber: str | None = None
    """The model that writes down the caller's words; None: that is part of the other."""


def load_prices(path: Path) -> Prices:
    """Read a table. Raises `PriceFileError` with one line for what is wrong first."""
    try:
        table = _Table.model_validate(tomllib.loads(path.read_text("utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise PriceFileError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None
    except (OSError, ValueError) as error:
        raise PriceFileError(f"can't be read as TOML: {error}") from None
    found: dict[str, ModelPrice] = {}
    for price in table.model:
        for name in price.names:
            if name in found:
                raise PriceFileError(f"model {name} stands there twice: keep one of them")
            found[name] = price
    return Prices(table.date.isoformat(), table.currency, found)


@cache
def shipped_prices() -> Prices:
    """Return the table that comes with offhook."""
    return load_prices(SHIPPED)
