"""What every table of an evaluation's file stands on, and the kinds of text in them."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

__all__ = ["Choice", "Keys", "Pattern", "Table"]


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return text


def _one_or_more(given: Any) -> Any:
    if isinstance(given, list | tuple):
        return given
    if not isinstance(given, str):
        raise ValueError("is a text, or a list of texts")
    return (given,)


Pattern = Annotated[str, Field(min_length=1), AfterValidator(_pattern)]
Choice = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_one_or_more)]
"""One text, or several of which the seed chooses."""
Keys = Annotated[str, Field(pattern=r"^[0-9A-D*#]*$")]


class Table(BaseModel):
    """A table of the file: no keys but its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)
