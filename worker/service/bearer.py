"""Lets in who brings a token as `Authorization: Bearer TOKEN` (RFC 6750)."""

from __future__ import annotations

import hmac
import json

from aiohttp import web

__all__ = ["admit"]


def admit(request: web.Request, token: str | None, unset: str) -> None:
    """Let somebody in. unset: said where there is no token, and so nobody has it.

    Raises web.HTTPUnauthorized; how long it takes says nothing of the token.
    """
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), (token or "").encode())
    if not token or kind.lower() != "bearer" or not same:
        raise web.HTTPUnauthorized(
            text=json.dumps({"error": "the token is wrong, or missing" if token else unset}),
            content_type="application/json",
            headers={"WWW-Authenticate": 'Bearer realm="offhook"'},
        )
