"""The text model that an evaluation's file names."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, model_validator

from worker.eval.table import Table
from worker.service.gate import is_loopback

__all__ = ["TextModel"]


class TextModel(Table):
    """A text model behind an OpenAI-shaped endpoint of chat completions: plays personas, and judges."""

    url: str = Field(pattern=r"^https?://[^\s?#]+$", description="the one above /chat/completions, such as .../v1")
    name: str = Field(min_length=1, description="the model's")
    key: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="the environment variable that has the key, never the key itself; left out: it wants none",
    )
    temperature: float | None = Field(default=0.0, ge=0, le=2, description="0: as repeatable as the model can")
    timeout: float = Field(default=20.0, gt=0, le=300, description="s for an answer, further tries included")

    @model_validator(mode="after")
    def _safe(self) -> TextModel:
        host = urlsplit(self.url).hostname or ""
        if self.key is not None and self.url.startswith("http:") and not is_loopback(host):
            raise ValueError("url: http is for this machine alone, the key could be read on its way: write https")
        return self
