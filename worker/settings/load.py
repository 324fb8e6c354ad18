"""Reads the settings from the environment, and words all that is wrong with them: alone, and with one another."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from telephony.families import version_of_host
from telephony.sip.uri import host_of, registrar_uri
from worker.errors import SettingsError
from worker.settings.accounts import password_variable
from worker.settings.settings import PREFIX, Settings, is_secret, variable_of

__all__ = ["load_settings", "unknown_variables"]

OPTIONS = {"agent": "--agent", "sip_port": "--port"}
"""What the command line calls the fields that it can set."""


def load_settings(**options: object) -> Settings:
    """Read the environment. options: fields that the command line sets in its place; None: it does not.

    Raises `SettingsError` with one line for each variable or option that is wrong or missing.
    """
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise SettingsError(sorted(set(_lines(error, given)))) from None
    checks = (
        _missing_for_provider,
        _missing_for_registrar,
        _wrong_for_hosts,
        _wrong_for_tls,
        _wrong_for_proxy,
        _wrong_for_accounts,
    )
    if missing := [line for check in checks for line in check(settings)]:
        raise SettingsError(missing)
    settings.price_table()
    tell, refuse = settings.backlog_tell_seconds, settings.backlog_refuse_seconds
    if tell is not None and refuse is not None and refuse < tell:
        one, other = variable_of("backlog_refuse_seconds"), variable_of("backlog_tell_seconds")
        raise SettingsError(f"{one}={refuse:g} is under {other}={tell:g}: make it the larger one")
    return settings


def unknown_variables(settings: Settings | None = None) -> list[str]:
    """Return a line for each OFFHOOK_* variable that is no setting, with the nearest one that is.

    They do not stop the start: container platforms put variables of their own beside a service's. settings: whose
    accounts may have a password in a variable of their own.
    """
    known = [variable_of(field) for field in Settings.model_fields]
    known += [password_variable(one.name) for one in (settings.account_settings() if settings is not None else ())]
    lines = []
    for name in sorted(set(os.environ) - set(known)):
        if name.startswith(PREFIX):
            near = difflib.get_close_matches(name, known, 1)
            lines.append(f"{name} is no setting of offhook" + (f"; did you mean {near[0]}?" if near else ""))
    return lines


def _lines(error: ValidationError, given: Mapping[str, object]) -> list[str]:
    lines = []
    for detail in error.errors(include_url=False):
        name = str(detail["loc"][0])
        field = next((f for f in Settings.model_fields if f == name or variable_of(f) == name), name)
        variable, info = variable_of(field), Settings.model_fields[field]
        value = os.environ.get(variable, os.environ.get(variable.lower(), ""))
        shown = variable if is_secret(field) else f"{variable}={value}"
        if field in given:
            shown = f"{OPTIONS[field]} {given[field]}"
        lines.append(f"{shown} is not allowed: it takes {info.description}")
    return lines


def _missing_for_provider(settings: Settings) -> list[str]:
    """The variables that the chosen provider needs; one line each, saying what to do."""
    wanted: Mapping[str, tuple[tuple[str, object], ...]] = {
        "local": (),
        "openai": (("openai_api_key", settings.openai_api_key),),
        "azure": (
            ("azure_openai_endpoint", settings.azure_openai_endpoint or settings.realtime_url),
            ("azure_openai_api_key", settings.azure_openai_api_key or settings.azure_auth == "entra" or None),
            ("azure_openai_deployment", settings.azure_openai_deployment or settings.realtime_model),
        ),
        "gateway": (("realtime_url", settings.realtime_url),),
        "xai": (("xai_api_key", settings.xai_api_key), ("realtime_model", settings.realtime_model)),
        "gemini": (("gemini_api_key", settings.gemini_api_key or settings.realtime_headers),),
        # Behind a gateway that has the project and its credentials, its own headers are enough.
        "vertex": (
            ("google_cloud_project", settings.google_cloud_project or settings.realtime_headers),
            ("google_cloud_location", settings.google_cloud_location or settings.realtime_headers),
        ),
    }
    return [
        f"{variable_of(field)} is not set: OFFHOOK_REALTIME={settings.realtime} needs it;"
        f" set it to {Settings.model_fields[field].description}, or set OFFHOOK_REALTIME=local to do without"
        for field, value in wanted[settings.realtime]
        if value is None
    ]


def _missing_for_registrar(settings: Settings) -> list[str]:
    if settings.sip_registrar is None:
        return []
    pairs = (("sip_username", settings.sip_username), ("sip_password", settings.sip_password))
    return [
        f"{variable_of(field)} is not set: OFFHOOK_SIP_REGISTRAR needs it;"
        f" set it to {Settings.model_fields[field].description}"
        for field, value in pairs
        if value is None
    ]


def _wrong_for_hosts(settings: Settings) -> list[str]:
    try:
        places = settings.sip_places()
    except SettingsError as error:
        return [str(error)]
    host, lines = f"{variable_of('sip_host')}={','.join(settings.sip_host)}", []
    if len(places) > 1 and settings.sip_proxy is not None:
        lines.append(
            f"{host} beside {variable_of('sip_proxy')}: a worker behind a proxy is of one family of IP; name one"
        )
    for name in ("sip_registrar", "sip_proxy"):
        server = getattr(settings, name)
        family = None if server is None else version_of_host(host_of(registrar_uri(server)))
        if family is not None and family not in {place.version for place in places}:
            lines.append(
                f"{variable_of(name)}={server} is reached by IPv{family} alone, and {host} is not of it: add one"
            )
    return lines


def _wrong_for_tls(settings: Settings) -> list[str]:
    transports, srtp = variable_of("sip_transports"), variable_of("srtp")
    if "tls" in settings.sip_transports:
        wants = settings.sip_tls_verify == "all" and settings.sip_tls_ca is None
        ca, verify = variable_of("sip_tls_ca"), variable_of("sip_tls_verify")
        text = f"{ca} is not set: {verify}=all needs it; set it to the file of those who sign callers' certificates"
        return [text] if wants else []
    lines = [
        f"{variable_of(name)} is set, but {transports} has no tls: add it, as in udp,tcp,tls"
        for name in ("sip_tls_cert", "sip_tls_key")
        if getattr(settings, name) is not None
    ]
    if settings.srtp != "off" and settings.srtp_keys == "tls":
        lines.append(
            f"{srtp}={settings.srtp}, but {transports} has no tls: the keys would go over the network for all to read; "
            f"add tls, or set {variable_of('srtp_keys')}=plain where nobody can listen"
        )
    server = settings.sip_registrar
    if _is_tls(server):
        lines.append(f"{transports} has no tls: {variable_of('sip_registrar')}={server} needs it; add tls")
    return lines


def _is_tls(server: str | None) -> bool:
    found = (server or "").lower()
    return found.startswith("sips:") or "transport=tls" in found


def _wrong_for_proxy(settings: Settings) -> list[str]:
    if settings.sip_proxy is None:
        return []
    proxy, registrar, password = (variable_of(f"sip_{name}") for name in ("proxy", "registrar", "proxy_password"))
    lines = []
    if settings.sip_proxy_password is None:
        allowed = Settings.model_fields["sip_proxy_password"].description
        lines.append(f"{password} is not set: {proxy} needs it; set it to {allowed}")
    if settings.sip_registrar is not None:
        lines.append(f"{registrar} is set beside {proxy}: the proxy registers with the trunk; set {registrar} there")
    if _is_tls(settings.sip_proxy):
        lines.append(
            f"{proxy}={settings.sip_proxy}: workers and their proxy speak UDP or TCP, on a network of their own"
        )
    if "transport=tcp" in settings.sip_proxy.lower() and "tcp" not in settings.sip_transports:
        lines.append(f"{variable_of('sip_transports')} has no tcp: {proxy}={settings.sip_proxy} needs it; add tcp")
    return lines


def _wrong_for_accounts(settings: Settings) -> list[str]:
    if settings.sip_accounts is None:
        return []
    accounts = variable_of("sip_accounts")
    beside = [variable_of(f"sip_{name}") for name in ("registrar", "username", "password", "proxy")]
    lines = [
        f"{name} is set beside {accounts}: "
        + ("the proxy registers with the trunks" if name.endswith("PROXY") else "put it into the file, as an account")
        for name in beside
        if getattr(settings, name.removeprefix(PREFIX).lower()) is not None
    ]
    try:
        found = settings.account_settings()
    except SettingsError as error:
        return [*lines, *error.lines]
    transports = variable_of("sip_transports")
    for one in found:
        if one.over != "udp" and one.over not in settings.sip_transports:
            lines.append(f"{transports} has no {one.over}: account {one.name} of {accounts} needs it; add {one.over}")
    return lines
