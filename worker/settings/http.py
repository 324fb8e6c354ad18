"""The settings of what a worker serves over HTTP, and of calls that are ordered there."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, SecretStr
from pydantic_settings import NoDecode

from worker.settings.values import HttpAddress, Listen, Targets, Words


class HttpValues(BaseModel):
    """What is served over HTTP, to whom, and whom its callers may have called."""

    http: Listen = Field(
        default=HttpAddress("127.0.0.1", 8080), description="host:port, such as 127.0.0.1:8080, or off"
    )
    http_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="a secret of at least 16 characters that calls and their pages are shown for",
    )
    http_hosts: Annotated[tuple[str, ...], NoDecode, Words] = Field(
        default=(), description="a list with commas of names that the pages may be asked for by, such as ops.example"
    )
    approval_token: SecretStr | None = Field(
        default=None, description="a long random text, by which operators approve tool calls over HTTP"
    )
    dial_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="a secret of at least 16 characters, by which other programs have us call somebody (POST /calls)",
    )
    dial_to: Targets = Field(
        default=(), description="a list with commas of whom they may have called, such as +49*, sip:*@pbx.example.com"
    )
    dial_from: Annotated[tuple[str, ...], NoDecode, Words] = Field(
        default=(), description="a list with commas of numbers that such calls may come from"
    )
    dial_calls: int = Field(default=2, ge=1, description="how many such calls go on at once, on each worker")
    dial_per_minute: int = Field(default=10, ge=1, description="how many of them are begun a minute, on each worker")

    def own_url(self) -> str | None:
        """Return where a worker with these settings is asked from this machine; None where that can't be known."""
        if self.http is None or self.http.port == 0:
            return None
        host = "127.0.0.1" if self.http.host in ("0.0.0.0", "::") else self.http.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.http.port}"
