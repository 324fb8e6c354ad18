"""The settings of the tools' queue, and of what outlives a call."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field, SecretStr
from pydantic_settings import NoDecode

from worker.errors import SettingsError
from worker.settings.values import CallBackUri, DigitsText, Hooks, RedisUrl, SecretUrl, Words, reveal

if TYPE_CHECKING:
    from tools.queue.backlog import Backlog
    from tools.queue.queued import QueueSettings
    from tools.worker.notify import NotifySettings


class JobValues(BaseModel):
    """The queue of tools: where it is, what a long one means for callers, and where late results go."""

    backlog_tell_seconds: float | None = Field(
        default=None,
        gt=0,
        description="seconds that a tool call would wait from which on new callers are told (left out: never)",
    )
    backlog_refuse_seconds: float | None = Field(
        default=None,
        gt=0,
        description="seconds that a tool call would wait from which on new calls are refused (left out: never)",
    )
    redis_url: RedisUrl | None = Field(
        default=None,
        validation_alias="REDIS_URL",
        description="redis://, rediss:// or unix:// and the server's address, or redis+sentinel://HOST:PORT,.../MASTER"
        " (left out: an embedded Redis)",
    )
    digits_key: DigitsText | None = Field(
        default=None,
        description="a key of `offhook keys digits`, offhook-digits-..., the same for workers and tool workers: what"
        " callers type for a queued tool is sealed with it",
    )
    notify_url: SecretUrl | None = Field(
        default=None, description="an http:// or https:// URL that is told what tools end after their call"
    )
    notify_secret: SecretStr | None = Field(
        default=None, description="the secret that these messages are signed with (HMAC-SHA256)"
    )
    notify_hooks: Hooks = Field(
        default_factory=dict,
        description="a list with commas of channel=module:function, such as sms=shop.hooks:send_sms; the channels send"
        " and call_back are for what a caller was promised",
    )
    call_back_uri: CallBackUri | None = Field(
        default=None,
        description="a sip: URI with {caller} in its user part, such as sip:{caller}@trunk.example.com"
        " (left out: through the proxy or the registrar, where there is one)",
    )
    tool_secrets: Annotated[tuple[str, ...], NoDecode, Words] = Field(
        default=(), description="a list with commas of environment variables that tools may ask for by name"
    )

    def needs_embedded_redis(self) -> bool:
        """Tell whether an embedded Redis has to be started, since no REDIS_URL is set."""
        return self.redis_url is None

    def queue_settings(self, url: str | None = None) -> QueueSettings:
        """Return what `tools` needs to reach the queue; `url` is that of the embedded Redis."""
        from tools.queue.queued import QueueSettings

        found = reveal(self.redis_url) or url
        if found is None:
            raise SettingsError("REDIS_URL is not set: set it to the Redis server's, such as redis://127.0.0.1:6379")
        return QueueSettings(url=found, digits=reveal(self.digits_key))

    def backlog(self) -> Backlog:
        """Return the limits of the tools' queue."""
        from tools.queue.backlog import Backlog

        return Backlog(tell_s=self.backlog_tell_seconds, refuse_s=self.backlog_refuse_seconds)

    def secrets_for_tools(self) -> dict[str, str]:
        """Return the secrets that tools may have, by name.

        Raises `SettingsError` when one that OFFHOOK_TOOL_SECRETS names is not set.
        """
        missing = [name for name in self.tool_secrets if name not in os.environ]
        if missing:
            raise SettingsError([f"{name} is not set: OFFHOOK_TOOL_SECRETS names it for the tools" for name in missing])
        return {name: os.environ[name] for name in self.tool_secrets}

    def notify_settings(self) -> NotifySettings:
        """Return where a tool worker tells of what ended after its call."""
        from tools.worker.notify import NotifySettings

        return NotifySettings(
            url=reveal(self.notify_url), secret=reveal(self.notify_secret), hooks=dict(self.notify_hooks)
        )
