"""The file of OFFHOOK_SIP_ACCOUNTS: several accounts at registrars and trunks, each a table of its own.

    [[account]]
    name = "berlin"
    registrar = "sip.example.com"
    username = "line7"
    number = "+49301234567"

A password stands in OFFHOOK_SIP_PASSWORD_BERLIN, in the file that `password_file` names, or as `password`; no error and
no log has it.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from telephony.accounts import AccountSettings, fault_of_accounts
from telephony.sip.on_list import PLAIN_USER
from worker.errors import SettingsError
from worker.settings.values import SIP_SERVER, reveal

__all__ = ["PASSWORD", "load_accounts", "password_variable"]

PASSWORD = "OFFHOOK_SIP_PASSWORD_"
"""Begins the variables that passwords of accounts are read from."""
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]+\]")
USER = re.compile(r"[A-Za-z0-9\-_.!~*'()&=+$,]{1,128}")  # RFC 3261 section 25.1, without what has to be escaped
REALM = re.compile(r"[^\"\\\x00-\x1f\x7f]{1,128}")


def _shaped(pattern: re.Pattern[str], allowed: str) -> BeforeValidator:
    def check(value: object) -> object:
        if not isinstance(value, str) or not pattern.fullmatch(value.strip()):
            raise ValueError(f"takes {allowed}")
        return value.strip()

    return BeforeValidator(check)


def _realms(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Server = Annotated[str, _shaped(SIP_SERVER, "a host, or sip:HOST:PORT, such as sip.example.com")]
User = Annotated[str, _shaped(USER, "a name or number, as the registrar has it")]


class Account(BaseModel):
    """One table of the file; the descriptions are for who reads the errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Annotated[str, _shaped(NAME, "small letters, digits, - and _, at most 32, such as berlin")]
    registrar: Server
    username: User
    registers: bool = True
    domain: Annotated[str, _shaped(HOST, "a host name")] | None = None
    auth_username: User | None = None
    password: SecretStr | None = Field(default=None, min_length=1)
    password_file: Path | None = None
    realm: Annotated[
        tuple[Annotated[str, _shaped(REALM, "the registrar's name for its users, such as example.com")], ...],
        BeforeValidator(_realms),
    ] = ()
    outbound_proxy: Server | None = None
    transport: Literal["udp", "tcp", "tls"] | None = None
    number: Annotated[str, _shaped(PLAIN_USER, "a number such as +49301234567, or a name")] | None = None
    display_name: Annotated[str, _shaped(re.compile(r"[^\"\\<>\x00-\x1f\x7f]{1,64}"), "a name")] | None = None
    expires_seconds: int = Field(default=300, ge=10, le=86400)


def password_variable(name: str) -> str:
    """Return the environment variable that the password of an account may stand in."""
    return PASSWORD + name.upper().replace("-", "_")


def load_accounts(path: Path, environment: Mapping[str, str] = os.environ) -> tuple[AccountSettings, ...]:
    """Read the accounts. Raises SettingsError with one line for each thing that is wrong, and never with a password."""
    variable = f"OFFHOOK_SIP_ACCOUNTS={path}"
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}: can't be read: {_why(error)}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{variable}: is not TOML: {error}") from None
    tables = raw.get("account")
    if not isinstance(tables, list) or not tables or not all(isinstance(one, dict) for one in tables):
        raise SettingsError(f"{variable}: has no account: write each as a table of its own, [[account]]")
    if others := [key for key in raw if key != "account"]:
        raise SettingsError([f"{variable}: {key}: there is no such key beside [[account]]" for key in others])
    found: list[AccountSettings] = []
    names = [str(one.get("name")) for one in tables]
    twice = {name for name in names if names.count(name) > 1 and name != "None"}
    lines = [f"{variable}: two accounts have the name {name!r}: each needs its own" for name in sorted(twice)]
    for number, table in enumerate(tables, 1):
        try:
            found.append(_account(table, number, path, environment))
        except SettingsError as error:
            lines += [f"{variable}: {line}" for line in error.lines]
    if not lines and (fault := fault_of_accounts(found)):
        lines = [f"{variable}: {fault}"]
    if not lines:
        lines = [f"{variable}: {line}" for line in _one_variable_each(found)]
    if lines:
        raise SettingsError(lines)
    return tuple(found)


def _account(table: dict[str, Any], number: int, path: Path, environment: Mapping[str, str]) -> AccountSettings:
    where = f"account[{number}]"
    try:
        one = Account.model_validate(table)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise SettingsError([_line(detail, f"{where}.") for detail in details]) from None
    password = _password(one, f"{where} ({one.name})", path, environment)
    try:
        return AccountSettings(
            name=one.name,
            registrar=one.registrar,
            username=one.username,
            registers=one.registers,
            domain=one.domain,
            auth_username=one.auth_username,
            password=password,
            realms=one.realm,
            outbound_proxy=one.outbound_proxy,
            transport=one.transport,
            number=one.number,
            display_name=one.display_name,
            expires_s=one.expires_seconds,
        )
    except ValueError as error:
        raise SettingsError(f"{where} ({one.name}): {str(error).replace('realms', 'realm', 1)}") from None


def _line(detail: Any, place: str) -> str:
    """One fault, in the words of the agent file's; what stands at a key that holds a password is not repeated."""
    key = str(detail["loc"][0])
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, Account.model_fields, 1)
        hint = f"did you mean {near[0]}?" if near else f"allowed are: {', '.join(Account.model_fields)}"
        return f"{place}{key}: there is no such key; {hint}"
    if detail["type"] == "missing":
        return f"{place}{key}: is missing"
    message = detail["msg"].removeprefix("Value error, ")
    shown = "" if key == "password" else f", not {repr(detail['input'])[:60]}"
    return f"{place}{key}: {message[:1].lower()}{message[1:]}{shown}"


def _password(one: Account, where: str, path: Path, environment: Mapping[str, str]) -> str | None:
    variable = password_variable(one.name)
    given = {"password": reveal(one.password), "password_file": one.password_file, variable: environment.get(variable)}
    ways = [name for name, value in given.items() if value]
    if len(ways) > 1:
        raise SettingsError(f"{where}: has its password by {' and by '.join(ways)}: leave one out")
    if not ways:
        if not one.registers:
            return None
        raise SettingsError(f"{where}: has no password: set {variable}, or password_file to a file that has it")
    if one.password_file is None:
        return reveal(one.password) or environment.get(variable)
    file = path.parent / one.password_file
    try:
        text = file.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{where}: password_file {file}: can't be read: {_why(error)}") from None
    if not text or not text.isprintable():
        raise SettingsError(f"{where}: password_file {file}: wants the password as its one line, and nothing else")
    return text


def _one_variable_each(accounts: list[AccountSettings]) -> list[str]:
    """Two names may lead to one variable, since that has no hyphens: the password would be both accounts'."""
    seen: dict[str, str] = {}
    lines = []
    for one in accounts:
        variable = password_variable(one.name)
        if (other := seen.setdefault(variable, one.name)) != one.name:
            lines.append(f"{other!r} and {one.name!r} both have {variable}: give one of them another name")
    return lines


def _why(error: OSError | UnicodeDecodeError) -> str:
    return "is no UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror or str(error)
