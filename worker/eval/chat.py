"""A text model behind any OpenAI-shaped endpoint of chat completions, asked for one JSON object at a time.

Every question has a bound, further tries after a busy or broken answer included. What goes wrong is a `ChatError`: one
line that says who refused what, and how to mend it. The key is in no such line.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from openai import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    Omit,
    OpenAIError,
    omit,
)

from worker.errors import OffhookError
from worker.eval.text_model import TextModel

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam

__all__ = ["Chat", "ChatError", "Message"]

TRIES = 2
"""After the first one."""
SHOWN = 120
"""Characters of an answer in an error."""

Message = tuple[Literal["system", "user", "assistant"], str]


class ChatError(OffhookError):
    """The text model could not be asked, or did not answer as it was asked to."""


class Chat:
    """One endpoint and model."""

    def __init__(self, model: TextModel, key: str | None) -> None:
        """key: None for an endpoint that wants none."""
        self._model = model
        self._client = AsyncOpenAI(
            base_url=model.url, api_key=key or "none", timeout=model.timeout, max_retries=TRIES, organization=None
        )

    async def close(self) -> None:
        """Close what is open."""
        await self._client.close()

    async def ask(self, messages: Sequence[Message], seed: int) -> dict[str, Any]:
        """Return the JSON object that the model answers with. seed: for models that can repeat themselves.

        Raises ChatError.
        """
        where, name = f"model {self._model.name} at {self._model.url}", self._model.key or "a key"
        try:
            async with asyncio.timeout(self._model.timeout):
                text = await self._asked(messages, seed)
        except (APITimeoutError, TimeoutError):
            raise ChatError(f"{where} does not answer within {self._model.timeout:g} s") from None
        except APIStatusError as error:
            raise ChatError(f"{where} answers {error.status_code}{_mend(error, name)}") from None
        except APIConnectionError as error:
            raise ChatError(f"{where} can't be reached: {error.__cause__ or error}") from None
        except (APIResponseValidationError, json.JSONDecodeError, AttributeError, TypeError, ValueError):
            raise ChatError(f"{where} answers with no chat completion: see url in [model]") from None
        except OpenAIError as error:
            raise ChatError(f"{where}: {error}") from None
        return _object(text, where)

    async def _asked(self, messages: Sequence[Message], seed: int) -> str | None:
        temperature: float | Omit = omit if self._model.temperature is None else self._model.temperature
        told = [cast("ChatCompletionMessageParam", {"role": role, "content": text}) for role, text in messages]
        answer = await self._client.chat.completions.create(
            model=self._model.name,
            messages=told,
            temperature=temperature,
            seed=seed % 2**31,
            response_format={"type": "json_object"},
        )
        if not answer.choices:
            raise ValueError("no choices")
        return answer.choices[0].message.content


def _mend(error: APIStatusError, key: str) -> str:
    body = error.body if isinstance(error.body, Mapping) else {}
    said = body.get("message")
    words = f": {str(said)[:SHOWN]}" if said else ""
    mends = {
        400: "; a model that takes no such temperature wants temperature = 1 in [model]",
        401: f"; see the key in {key}",
        403: f"; see what the key in {key} may do",
        404: "; see url and name in [model]",
        429: "; ask less at once (at_once), or later",
    }
    return words + mends.get(error.status_code, "")


def _object(text: str | None, where: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ChatError(f"{where} was asked for a JSON object, and answers: {(text or '(nothing)')[:SHOWN]!r}")
    return found
