"""The types of settings: how each kind of value is read from the text of an environment variable.

A validator raises ValueError without words: `worker.settings` says what is allowed, from the setting's description.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from telephony.families import version_of
from telephony.sip.facts import may_be_read
from telephony.sip.on_list import fault_of_pattern
from tools.queue.sealed_digits import DigitsKey
from worker.records.sealed import public_key

CALL_BACK_URI = re.compile(
    r"sip:[A-Za-z0-9+._-]*\{caller\}@([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(;[a-z-]+=[A-Za-z0-9.-]+)*"
)
SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel")
HOOK = re.compile(r"(?P<channel>[a-z][a-z0-9_]*)=(?P<function>[A-Za-z_][\w.]*:[A-Za-z_]\w*)")
HEADER = re.compile(r"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):(?P<value>[^\r\n]+)")  # RFC 9110, 5.1
HOST_NAME = re.compile(r"(?=.{1,253}$)(?!\d+(\.\d+)*$)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")
SIP_SERVER = re.compile(r"(sips?:)?(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(;[a-z]+=[a-z]+)*")


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """Where the HTTP endpoint listens. `port` 0 means any free one."""

    host: str
    port: int


def _words(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(word.strip() for word in value.split(",") if word.strip())


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    found = tuple(one.strip().removeprefix("[").removesuffix("]") for one in value)
    families = [version_of(one) for one in found]
    if None in families or len(set(families)) != len(families) or len(found) > 2:
        raise ValueError
    return tuple(str(ipaddress.ip_address(one)) for one in found)


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if not HOST_NAME.fullmatch(name):
            ipaddress.ip_network(name, strict=False)
    return value


def _header_names(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(may_be_read, value)):
        raise ValueError
    return value


def _sip_server(value: str) -> str:
    if not SIP_SERVER.fullmatch(value.strip()):
        raise ValueError
    return value.strip()


def _call_back_uri(value: str) -> str:
    if not CALL_BACK_URI.fullmatch(value.strip()):
        raise ValueError
    return value.strip()


def _hooks(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = [HOOK.fullmatch(word.strip()) for word in value.split(",") if word.strip()]
    hooks = {match["channel"]: match["function"] for match in found if match}
    if len(hooks) != len(found):  # one is none, or two are of one channel
        raise ValueError
    return hooks


def _listen(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.strip().lower() == "off":
        return None
    host, separator, port = value.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not separator or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError
    return HttpAddress(host, int(port))


def _server(value: object) -> object:
    found = _listen(value)
    if isinstance(found, HttpAddress) and not found.port:
        raise ValueError
    return found


def _port_range(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d{1,5})\s*-\s*(\d{1,5})\s*", value)
    low, high = (int(match[1]), int(match[2])) if match else (-1, -1)
    if (low, high) != (0, 0) and not 1024 <= low < high <= 65535:
        raise ValueError
    return (low, high)


def _url(*schemes: str) -> AfterValidator:
    def check(value: Any) -> Any:
        parts = urlsplit(value.get_secret_value() if isinstance(value, SecretStr) else value)
        if parts.scheme not in schemes or not (parts.netloc or (parts.scheme == "unix" and parts.path)):
            raise ValueError
        return value

    return AfterValidator(check)


def _sentinel_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text.partition("://")[0] in SENTINEL_SCHEMES:
        from tools.queue.connect import parsed  # loads redis, which not every command needs

        parsed(text)
    return value


def _file(value: Path) -> Path:
    if not value.is_file():
        raise ValueError
    return value


def _digits_key(value: SecretStr) -> SecretStr:
    DigitsKey.check(value.get_secret_value())
    return value


def _public_key(value: str) -> str:
    public_key(value)
    return value.strip()


def _directory(value: Path) -> Path:
    if value.exists() and not value.is_dir():
        raise ValueError
    return value


def _journal(value: object) -> object:
    if not isinstance(value, str) or value.strip().lower() not in ("memory", "off"):
        return value
    return value.strip().lower()


def _kept(value: Path | str) -> Path | str:
    if value in ("memory", "off"):
        return value
    if "/" not in str(value):  # a slip of the pen, such as "of", is no folder
        raise ValueError
    return _directory(Path(value))


def without_realtime(url: str) -> str:
    """Return the WebSocket base URL of a realtime service.

    People paste the whole one: the client appends /realtime by itself, and the model with it.
    """
    parts = urlsplit(url)
    path = parts.path.rstrip("/").removesuffix("/realtime").rstrip("/")
    query = "&".join(one for one in parts.query.split("&") if not one.startswith(("model=", "deployment=")))
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, path, query, ""))


def azure_base(endpoint: str) -> str:
    """Return the base of Azure's v1 API at an endpoint, whose path stays: API Management puts its own before it.

    https://RESOURCE.openai.azure.com and https://GATEWAY.azure-api.net/team get /openai/v1; a whole URL of the v1 API
    is taken as it is.
    """
    parts = urlsplit(endpoint)
    path = parts.path.rstrip("/").removesuffix("/realtime").rstrip("/")
    if not path.endswith("/openai/v1"):
        path = f"{path.removesuffix('/openai')}/openai/v1"
    return urlunsplit(parts._replace(path=path))


def vertex_base(location: str) -> str:
    """Return the base of Vertex AI's service at a location: a region, `global`, or one of `us` and `eu`."""
    if location == "global":
        return "wss://aiplatform.googleapis.com"
    if location in ("us", "eu"):
        return f"wss://aiplatform.{location}.rep.googleapis.com"
    return f"wss://{location}-aiplatform.googleapis.com"


def headers_of(text: str) -> dict[str, str]:
    """Return HTTP headers from `Name: value, Name: value`. Raises ValueError for what is none."""
    found = [HEADER.fullmatch(one.strip()) for one in text.split(",") if one.strip()]
    if not all(found):
        raise ValueError
    return {match["name"]: match["value"].strip() for match in found if match}


def _codec_names(value: object) -> object:
    names = _words(value)
    if not isinstance(names, tuple):
        return names
    upper = tuple(str(name).upper() for name in names)
    if len(set(upper)) != len(upper):
        raise ValueError
    return upper


def _headers(value: SecretStr) -> SecretStr:
    headers_of(value.get_secret_value())
    return value


def _targets(value: tuple[str, ...]) -> tuple[str, ...]:
    if any(":" in one and fault_of_pattern(one) is not None for one in value):
        raise ValueError("no pattern of numbers or SIP URIs")
    return value


Words = BeforeValidator(_words)
"""A list with commas, as a tuple of words."""
Targets = Annotated[tuple[str, ...], NoDecode, Words, AfterValidator(_targets)]
"""A list with commas of patterns of numbers and of SIP URIs."""
CodecNames = BeforeValidator(_codec_names)
"""A list with commas of codecs, as a tuple of their names in SDP, each once."""
Lower = BeforeValidator(_lower)
"""In lower case, without blanks around it."""
Hosts = Annotated[tuple[str, ...], NoDecode, Words, AfterValidator(_hosts)]
"""One IP address, or one of each family with a comma, without zones."""
HeaderNames = Annotated[tuple[str, ...], NoDecode, Words, AfterValidator(_header_names)]
Networks = Annotated[tuple[str, ...], NoDecode, Words, AfterValidator(_networks)]
"""IP addresses, networks (CIDR) and host names, with commas."""
SipServer = Annotated[str, AfterValidator(_sip_server)]
"""A host, or a sip: URI without a user part."""
CallBackUri = Annotated[str, AfterValidator(_call_back_uri)]
"""A sip: URI with {caller} in its user part, and without headers."""
Hooks = Annotated[dict[str, str], NoDecode, BeforeValidator(_hooks)]
"""channel=module:function, with commas."""
Listen = Annotated[HttpAddress | None, NoDecode, BeforeValidator(_listen)]
"""host:port, or None for "off"."""
Server = Annotated[HttpAddress | None, NoDecode, BeforeValidator(_server)]
"""host:port of somebody else, or None for "off"."""
PortRange = Annotated[tuple[int, int], NoDecode, BeforeValidator(_port_range)]
"""first-last, both taken in."""
Headers = Annotated[SecretStr, AfterValidator(_headers)]
"""HTTP headers, with commas: one of them may be a secret."""
RealtimeUrl = Annotated[str, _url("ws", "wss", "http", "https")]
HttpUrl = Annotated[str, _url("http", "https")]
RedisUrl = Annotated[SecretStr, _url("redis", "rediss", "unix", *SENTINEL_SCHEMES), AfterValidator(_sentinel_url)]
"""A Redis server's, or that of a set of Sentinels (`tools.queue.connect`)."""
SecretUrl = Annotated[SecretStr, _url("http", "https")]
File = Annotated[Path, AfterValidator(_file)]
"""A file that exists."""
Journal = Annotated[Literal["memory", "off"] | Path, BeforeValidator(_journal), AfterValidator(_kept)]
"""Where journals are kept."""
DigitsText = Annotated[SecretStr, AfterValidator(_digits_key)]
PublicKey = Annotated[str, AfterValidator(_public_key)]
"""A key that recordings are sealed for, as `offhook keys` prints it."""
Directory = Annotated[Path, AfterValidator(_directory)]
"""A folder, or a path where one can be made."""


def reveal(secret: SecretStr | None) -> str | None:
    """Return the text of a secret, None where it is not set."""
    return secret.get_secret_value() if secret is not None else None


def without_password(url: str) -> str:
    """Return the URL as it may be logged: user and password taken out, and the query with them."""
    scheme, _, rest = url.partition("?")[0].partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
