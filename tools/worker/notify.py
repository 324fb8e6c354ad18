"""How the end of a tool call is told after the caller has hung up: a signed webhook, or a function of the operator's.

A webhook is a POST with a JSON body and these headers:

    Offhook-Delivery    an id; the same one when the same message comes again: take it once
    Offhook-Timestamp   Unix time in s
    Offhook-Signature   v1=<hex HMAC-SHA256, with the secret, of the timestamp, a dot and the body>
    traceparent         where the call has a trace: what the receiver traces hangs below it (W3C Trace Context)

Any answer of 2xx ends it. Anything else, a redirect too, is tried again with growing pauses for about a day. `verify`
is the receiver's half.

A hook (for an SMS, a call back) is a function that the operator names in the settings, and that takes a `Message`:

    def send_sms(message: Message) -> None: ...

It returns when the message is out and raises to be tried again. What it is called with never names a function.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import importlib
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tools.errors import ToolDefinitionError
from tools.queue.names import DEFAULT_CHANNEL
from tools.traces.current import current_traceparent
from tools.traces.names import TRACEPARENT

"""The channels of what a caller was promised: an operator's hook of that name comes first."""
TIMEOUT_S = 10.0
TOLERANCE_S = 300.0
DELIVERY, TIMESTAMP, SIGNATURE = "Offhook-Delivery", "Offhook-Timestamp", "Offhook-Signature"


class NotDelivered(Exception):
    """A message did not get through; it is tried again. The text has no address and no secret in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is told. delivery_id: the same for each try. result: what the tool returned, or its error, as an object.

    caller, dialled: as the call had them. Times are Unix times in s.
    """

    delivery_id: str
    call_id: str
    tool_call_id: str
    tool: str
    summary: str
    status: str
    result: dict[str, Any]
    caller: str
    dialled: str
    hung_up_at: float
    ended_at: float

    def body(self) -> bytes:
        """Return the webhook's body."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps({"event": "tool_ended", **fields}, ensure_ascii=False).encode()


Hook = Callable[[Message], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySettings:
    """Where the ends of tool calls may be told.

    url: of the webhook for tools that name none. secret: what each webhook is signed with. hooks: channel -> reference
    of a function (module:function), for tools that say `notify="channel"`.
    """

    url: str | None = field(default=None, repr=False)  # it may hold a token
    secret: str | None = field(default=None, repr=False)
    hooks: Mapping[str, str] = field(default_factory=dict)


class Channels:
    """The ways out, ready to be used: only those that the settings name, and webhooks that a tool's own code names."""

    def __init__(self, settings: NotifySettings | None = None) -> None:
        """Import the hooks. Raises `ToolDefinitionError` where one can't be, or a webhook would go out unsigned."""
        self._settings = settings or NotifySettings()
        self._hooks = {name: _imported(name, where) for name, where in self._settings.hooks.items()}
        if self._settings.url and not self._settings.secret:
            raise ToolDefinitionError("notify: a webhook needs a secret to be signed with: set one")

    def has_hook(self, channel: str) -> bool:
        """Tell whether a channel is a function of the operator's."""
        return channel in self._hooks

    def send(self, message: Message, channel: str) -> None:
        """Tell it. Raises `NotDelivered`, or what the hook raises."""
        if hook := self._hooks.get(channel):
            hook(message)
            return
        url = self._settings.url if channel == DEFAULT_CHANNEL else channel
        if not url or not url.startswith(("http://", "https://")):
            raise NotDelivered(f"there is no channel {channel!r}: name it in the settings")
        if not self._settings.secret:
            raise NotDelivered("a webhook needs a secret to be signed with: set one")
        post(url, self._settings.secret, message.delivery_id, message.body(), time.time())


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the signature's header."""
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"v1={digest.hexdigest()}"


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Tell, at the receiver's, whether a webhook is ours and new: signed with the secret, at most 5 minutes old."""
    found = {name.lower(): value for name, value in headers.items()}
    timestamp, signature = found.get(TIMESTAMP.lower(), ""), found.get(SIGNATURE.lower(), "")
    fresh = timestamp.isdecimal() and abs(now - int(timestamp)) <= TOLERANCE_S
    return hmac.compare_digest(sign(secret, timestamp, body).encode(), signature.encode()) and fresh


def post(url: str, secret: str, delivery_id: str, body: bytes, now: float) -> None:
    """Send a webhook. Raises `NotDelivered` for any answer but 2xx, and for none."""
    timestamp = str(int(now))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "offhook",
        DELIVERY: delivery_id,
        TIMESTAMP: timestamp,
        SIGNATURE: sign(secret, timestamp, body),
    }
    if traceparent := current_traceparent():
        headers[TRACEPARENT] = traceparent
    try:
        parts = urlsplit(url)
        connection = _connection(parts.scheme, parts.hostname or "", parts.port)
        try:
            query = f"?{parts.query}" if parts.query else ""
            connection.request("POST", f"{parts.path or '/'}{query}", body, headers)
            status = connection.getresponse().status
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NotDelivered(f"no answer ({type(error).__name__})") from None
    if not 200 <= status < 300:
        raise NotDelivered(f"answered {status}")


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)


def _imported(channel: str, reference: str) -> Hook:
    module, _, name = reference.partition(":")
    try:
        hook = getattr(importlib.import_module(module), name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may do anything while it is imported, sys.exit too
        raise ToolDefinitionError(
            f"notify: the hook {channel} = {reference!r} can't be imported ({type(error).__name__}): write"
            " module:function"
        ) from None
    if not callable(hook):
        raise ToolDefinitionError(f"notify: the hook {channel} = {reference!r} is no function")
    found: Hook = hook
    return found
