"""What a start does itself, tried: fillers, interruptions, the SIP endpoint, the HTTP port."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from telephony.errors import AllowListError, SipAddressError, SipStartError
from worker.call.audio import CALL_RATES_HZ
from worker.call.canned import filler_mode
from worker.call.config import prepare_canned, written_down
from worker.call.interruption import hindrance
from worker.errors import HostError
from worker.realtime.choose import codec_for
from worker.service.checks.finding import Finding, Look, Site
from worker.service.http import try_http
from worker.service.loaded import NOT_YET
from worker.settings.settings import Settings

__all__ = ["START", "sip_refused"]


async def check_fillers(site: Site) -> list[Finding]:
    """The canned fillers: their voices and files."""
    loaded = site.loaded
    if loaded is None:
        return []
    try:
        later = site.settings.later_ways()
        can = codec_for(site.settings.provider(NOT_YET)).capabilities
        modes = {agent.fillers.mode: filler_mode(agent, can) for agent in loaded.agents.agents()}
        if "canned" not in modes.values():
            text, mend = "the tone alone: this provider speaks none beside a conversation", "uv sync --group embedded"
            return [Finding("note", "fillers", text, mend)] if modes.get("model") == "tone" else []
        await asyncio.to_thread(prepare_canned, loaded.agents, loaded.tools, CALL_RATES_HZ, later, can)
    except HostError as error:
        return [Finding("wrong", "fillers", str(error), "correct [fillers] of the agent file")]
    instead = ", since this provider speaks none beside a conversation" if modes.get("model") == "canned" else ""
    return [Finding("ok", "fillers", f"canned{instead}")]


async def check_interruption(site: Site) -> list[Finding]:
    """Agents whose barge-ins may be withdrawn: whether the provider lets them."""
    found: list[Finding] = []
    can = codec_for(site.settings.provider(NOT_YET)).capabilities
    for agent in site.agents.agents() if site.agents is not None else ():
        if agent.interruption != "reversible":
            continue
        if why := hindrance(agent, can):
            mend = 'write interruption = "exact", or mend that'
            found.append(Finding("note", "agent", f"{agent.name}: interruptions stay exact, since {why}", mend))
        elif not written_down(agent):
            text, mend = "a barge-in is judged by its length alone", "have [provider] transcribe the caller's words"
            found.append(Finding("note", "agent", f"{agent.name}: {text}", mend))
    return found


async def check_sip(site: Site) -> list[Finding]:
    """The pjsua2 build, and whether the SIP port can be had: starts an endpoint that takes no calls."""
    try:
        return await asyncio.to_thread(_try_endpoint, site)
    except ImportError as error:
        return [Finding("wrong", "pjsua2", str(error), "install pjsua2")]


def _try_endpoint(site: Site) -> list[Finding]:
    from telephony.endpoint import Endpoint

    settings = site.settings
    endpoint = Endpoint(replace(settings.sip_settings(), registrar=None, proxy=None, accounts=()), lambda event: None)
    endpoint.accepting = False
    try:
        info = endpoint.start()
    except SipStartError as error:
        mend = "the line says what to do"
        if isinstance(error, SipAddressError):
            mend = "stop the other program, or set OFFHOOK_SIP_HOST or OFFHOOK_SIP_PORT"
        elif isinstance(error, AllowListError):
            mend = "write addresses, networks or names that are known, with commas"
        return [Finding("wrong", "sip", str(sip_refused(error)), mend)]
    finally:
        endpoint.stop()
    site.capacity = info.capacity
    build = f"{info.build}, library {info.version}, {info.tls}, up to {info.capacity} calls at once"
    found = [Finding("ok", "pjsua2", build), Finding("ok", "sip", ", ".join(info.addresses))]
    found.append(_rtp_source(settings, info.holds_source))
    if settings.sip_registrar is not None:
        text = f"{settings.sip_username} at {settings.sip_registrar} (not tried)"
        found.append(Finding("note", "registrar", text, "see /readyz of the running worker for how it stands"))
    for one in settings.account_settings():
        how = "(not tried)" if one.registers else "(is not registered with)"
        number = f", number {one.number}" if one.number is not None else ""
        mend = "see /readyz of the running worker for how it stands" if one.registers else ""
        found.append(Finding("note", f"account {one.name}", f"{one.aor} at {one.registrar_uri}{number} {how}", mend))
    return found


def _rtp_source(settings: Settings, holds: bool) -> Finding:
    """Whose RTP a call takes, and whether this build can hold it to that."""
    if holds:
        return Finding("ok", "rtp", f"a call's source by OFFHOOK_RTP_SOURCE={settings.rtp_source}")
    text = "this pjsua2 build can't hold a call to its source of RTP: a stranger's packets may turn the voice to him"
    if "rtp_source" in settings.model_fields_set and settings.rtp_source != "follow":
        text = f"OFFHOOK_RTP_SOURCE={settings.rtp_source}, but {text}"
    mend = "build pjsua2 with docker/build-pjsua2, set OFFHOOK_SRTP=required, or have a firewall keep strangers out"
    return Finding("note", "rtp", text, mend)


def sip_refused(error: Exception) -> HostError:
    """Return the error of an endpoint that could not start, with the names of the settings that it doesn't know."""
    names: dict[type, str] = {
        SipAddressError: " (OFFHOOK_SIP_HOST, OFFHOOK_SIP_PORT)",
        AllowListError: " (OFFHOOK_SIP_ALLOW)",
    }
    return HostError(f"{error}{names.get(type(error), '')}")


async def check_http(site: Site) -> list[Finding]:
    """Whether the HTTP port can be had."""
    address = site.settings.http
    if address is None:
        return [Finding("ok", "http", "off")]
    try:
        await try_http(address)
    except HostError as error:
        return [Finding("wrong", "http", str(error), "choose another address with OFFHOOK_HTTP, or set it to off")]
    return [Finding("ok", "http", f"{address.host}:{address.port}")]


START: tuple[Look, ...] = (check_fillers, check_interruption, check_sip, check_http)
