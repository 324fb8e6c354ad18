"""What is made of an agent: the settings of provider and machine, and a session that starts nothing by itself."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from telephony.bridge import Bridge
from tools import tool
from tools.errors import ToolDefinitionError
from tools.queue.store.late import LateResult, Orphan
from tools.run.catalog import Catalog
from tools.run.inline import InlineRunner
from worker.agent.agent import Agent
from worker.agent.agent_file import AgentFile, load_agent_file
from worker.call.canned import CannedVoice, canned_voice
from worker.call.config import (
    END_CALL_FUNCTION,
    check_tools,
    filler_config,
    prepare_canned,
    session_config,
    turn_config,
)
from worker.call.factory import make_session
from worker.call.session import CallInfo, CallSession, PhoneLine, Services
from worker.call_tools.durations import UsualTimes
from worker.call_tools.exposure import REGISTRY, Exposure, ToolView, view_of
from worker.call_tools.functions import CALL_FUNCTIONS, TELL_LATER
from worker.call_tools.later import OPENINGS, WORDS, LaterWays, Way
from worker.errors import AgentFileError, HostError
from worker.realtime.base import SERVER_VAD
from worker.realtime.openai.codec import OpenAICodec
from worker.realtime.provider import Provider
from worker.records.metrics import Metrics
from worker.records.prices import Prices, Tariff
from worker.turns.filler_voice import Waiting
from worker.turns.machine import END_CALL

PRICES = Prices("2026-11-01", "USD")


@tool(mode="queued", filler="Let me look.", grace=1.5)
def order_status(order: str) -> str:
    """Look up an order."""
    return order


@tool
def current_time() -> str:
    """Tell the time."""
    return "noon"


def catalog(*functions: Any) -> Catalog:
    return Catalog([function.__tool__ for function in functions], inline=InlineRunner())


def view(*functions: Any, exposure: Exposure = "direct") -> ToolView:
    return view_of([function.__tool__ for function in functions], exposure, most_tokens=1000)


def names(agent: Agent, *functions: Any) -> list[str]:
    return [function["name"] for function in session_config(agent, view(*functions)).tools]


def test_the_provider_is_told_the_agents_words() -> None:
    config = session_config(
        Agent(instructions="Be brief.", voice="marin", language="de-CH", provider={"temperature": 0.7}),
        view(),
        transcriber="t",
    )
    assert (config.instructions, config.voice, config.language) == ("Be brief.", "marin", "de")
    assert config.extra == {"temperature": 0.7} and config.transcription_model
    assert config.turn_detection == SERVER_VAD


def test_tools_then_the_calls_own_functions() -> None:
    agent = Agent()
    own = [function["name"] for function in CALL_FUNCTIONS]
    assert names(agent, current_time) == ["current_time", END_CALL], "nothing is ever pending for long"
    assert names(agent, order_status, current_time) == ["order_status", "current_time", *own, END_CALL]


def test_an_agent_that_may_not_hang_up_is_not_told_how() -> None:
    agent = Agent(tools={"end_call": False})
    assert names(agent, current_time) == ["current_time"]


@pytest.mark.parametrize("function", [END_CALL_FUNCTION, *CALL_FUNCTIONS], ids=lambda f: str(f["name"]))
def test_the_calls_own_functions_have_the_shape_of_tools(function: dict[str, Any]) -> None:
    assert set(function) == {"type", "name", "description", "parameters"} == set(catalog(current_time).functions()[0])
    assert function["parameters"]["additionalProperties"] is False


def test_the_shipped_agents_settings_can_be_sent() -> None:
    agent = load_agent_file(None).default
    assert OpenAICodec().session_update(session_config(agent, view(order_status)))


def test_the_machine_is_told_of_greeting_goodbye_and_fillers() -> None:
    agent = Agent(
        greeting="Hello.",
        goodbye="Bye.",
        fillers={"texts": ("Wait.",), "grace_ms": 700, "interval_ms": 3000, "tone": False},
    )
    config = turn_config(agent, catalog(order_status, current_time), OpenAICodec())
    assert (config.greeting, config.goodbye) == ("Hello.", "Bye.")
    fillers = config.fillers
    assert (fillers.texts, fillers.grace_s, fillers.interval_s, fillers.tone) == (("Wait.",), 0.7, 3.0, False)
    assert fillers.tool_texts == {"order_status": ("Let me look.",)}
    assert fillers.tool_grace_s == {"order_status": 1.5}
    assert turn_config(Agent(), catalog(), OpenAICodec()).greeting is None


@pytest.mark.parametrize(
    ("detection", "responds", "interrupts"),
    [
        (None, True, True),
        ({"type": "semantic_vad"}, True, True),
        ({"create_response": False}, False, True),
        ({"interrupt_response": False}, True, False),
    ],
)
def test_who_responds_and_who_interrupts_is_as_the_provider_is_told(
    detection: dict[str, Any] | None, responds: bool, interrupts: bool
) -> None:
    options = {} if detection is None else {"audio": {"input": {"turn_detection": detection}}}
    config = turn_config(Agent(provider=options), catalog(), OpenAICodec())
    assert (config.server_responds, config.server_interrupts) == (responds, interrupts)


@pytest.mark.parametrize("options", [{"audio": "loud"}, {"audio": {"input": {"turn_detection": "vad"}}}])
def test_options_of_another_shape_are_the_providers_matter(options: dict[str, Any]) -> None:
    assert turn_config(Agent(provider=options), catalog(), OpenAICodec()).server_responds


def test_with_the_registry_the_session_has_three_functions_and_their_order() -> None:
    config = session_config(Agent(instructions="Be brief."), view(order_status, current_time, exposure="registry"))
    own = [function["name"] for function in CALL_FUNCTIONS]
    assert [one["name"] for one in config.tools] == [*(one["name"] for one in REGISTRY), *own, END_CALL]
    assert config.instructions.startswith("Be brief.\n\n") and "list_tools" in config.instructions
    assert OpenAICodec().session_update(config)


def test_a_tool_may_not_take_the_name_of_a_function_of_ours() -> None:
    @tool
    def run_tool() -> str:
        """Clash."""
        return ""

    agents = AgentFile(Path("a.toml"), Agent())
    check_tools(agents, {(): [current_time.__tool__]})
    with pytest.raises(ToolDefinitionError, match="run_tool is a function of every call: rename the tool"):
        check_tools(agents, {(): [run_tool.__tool__]})


def test_a_hook_that_is_not_there_stops_the_start() -> None:
    agents = AgentFile(Path("a.toml"), Agent(tools={"hook": "no_such_module_here:f"}))
    with pytest.raises(AgentFileError, match="tools.hook = 'no_such_module_here:f': importing it raised"):
        check_tools(agents, {})


def test_fillers_are_in_the_agents_language() -> None:
    own = {
        "texts_by_language": {"de": ("Moment.",), "de-AT": ("An Moment.",)},
        "tools": {"current_time": ("Let me see.",)},
        "tools_by_language": {"DE": {"order_status": ("Ich sehe nach.",)}},
    }
    english, german, austrian = (
        turn_config(
            Agent(language=tag, fillers={"texts": ("Wait.",), **own}), catalog(order_status), OpenAICodec()
        ).fillers
        for tag in ("en", "de-CH", "de-at")
    )
    assert [one.texts for one in (english, german, austrian)] == [("Wait.",), ("Moment.",), ("An Moment.",)]
    assert english.tool_texts == {"order_status": ("Let me look.",), "current_time": ("Let me see.",)}
    assert german.tool_texts == {"order_status": ("Ich sehe nach.",), "current_time": ("Let me see.",)}


def test_a_tone_alone_has_no_words() -> None:
    fillers = turn_config(Agent(fillers={"mode": "tone", "tone": False}), catalog(), OpenAICodec()).fillers
    assert fillers.tone and not fillers.spoken
    assert turn_config(Agent(fillers={"mode": "canned"}), catalog(), OpenAICodec()).fillers.spoken


def test_a_filler_says_how_long_it_takes_by_what_is_usual_and_what_was_waited() -> None:
    usual = UsualTimes()
    fillers = turn_config(Agent(), catalog(order_status), OpenAICodec(), usual).fillers
    text = "It should take {about}."
    assert fillers.fill(text, [Waiting("order_status", 0, 0.5)]) is None
    for _ in range(3):
        usual.note("order_status", 58.0)
    said = [fillers.fill(text, [Waiting("order_status", 0, waited)]) for waited in (0.5, 30.0, 50.0, 58.0, 90.0)]
    assert said == [
        "It should take about a minute.",
        "It should take about half a minute.",
        "It should take a few seconds.",
        None,
        None,
    ]
    assert fillers.fill(text, [Waiting("no_tool", 0, 0.5)]) is None
    assert turn_config(Agent(), catalog(), OpenAICodec()).fillers.fill(text, [Waiting("order_status", 0, 0.5)]) is None


@pytest.mark.parametrize(
    ("agent", "voice"),
    [
        ({}, "en-us+f2"),
        ({"voice": "cedar"}, "en-us+m5"),
        ({"language": "de-CH"}, "de+f2"),
        ({"fillers": {"mode": "canned", "voice": "en-gb"}}, "en-gb"),
    ],
)
def test_canned_fillers_have_a_voice_like_the_agents(agent: dict[str, Any], voice: str) -> None:
    made = canned_voice(Agent(**{"fillers": {"mode": "canned"}, **agent}))
    assert made is not None and made.voice == voice
    assert canned_voice(Agent()) is None


def test_canned_fillers_that_can_not_be_spoken_stop_the_start() -> None:
    for fillers, words in (({"wav": {"Wait.": "/nowhere/a.wav"}}, "a.wav"), ({"voice": "nobody"}, "nobody")):
        agents = AgentFile(Path("a.toml"), Agent(fillers={"mode": "canned", **fillers}))
        with pytest.raises(HostError, match=words):
            prepare_canned(agents, {(): [order_status.__tool__]}, (8000,))


async def test_a_session_starts_nothing_by_itself() -> None:
    before = asyncio.all_tasks()
    provider = Provider(name="x", url="ws://127.0.0.1:1/v1", key="k", model="m")
    services = Services(catalog(current_time), Metrics(), provider, clock=lambda: 5.0)
    hang_ups: list[str] = []
    line = PhoneLine(Bridge(16000), hang_ups.append)
    session = make_session(CallInfo("c1", "alice", "427"), Agent(), line, services)
    assert asyncio.all_tasks() == before
    record = session.recorder.ended(6000.0, "failed")
    assert (record.call_id, record.caller, record.dialled, record.answered_ms) == ("c1", "alice", "427", None)
    assert hang_ups == [] and session.machine.wake is None


@pytest.mark.parametrize(
    ("capable", "setting", "talks"), [(True, "open", True), (True, "placeholder", False), (False, "open", False)]
)
async def test_whether_the_model_talks_while_a_call_is_open_is_the_providers_matter_and_the_operators(
    capable: bool, setting: Any, talks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    can = replace(OpenAICodec.capabilities, talks_while_call_pending=capable)
    monkeypatch.setattr(OpenAICodec, "capabilities", can)
    provider = Provider(name="x", url="ws://127.0.0.1:1/v1", key="k", model="m", tool_calls=setting)
    services = Services(catalog(current_time), Metrics(), provider)
    info = CallInfo("c1", "alice", "427")
    session = make_session(info, Agent(), PhoneLine(Bridge(8000), lambda reason: None), services)
    assert session.machine.state.config.talks_while_call_pending is talks


# --- told later ---------------------------------------------------------------------------------------------------


def test_the_model_can_promise_what_is_possible() -> None:
    config = session_config(Agent(), view(order_status), {"send": "default"})
    [function] = [one for one in config.tools if one["name"] == TELL_LATER]
    assert function["parameters"]["properties"]["how"]["enum"] == ["send"]
    assert OpenAICodec().session_update(config)
    assert TELL_LATER not in names(Agent(), order_status)

    @tool(mode="inline")
    def at_once() -> None:
        """Take no time."""

    assert TELL_LATER not in [one["name"] for one in session_config(Agent(), view(at_once), {"send": "x"}).tools]


def test_no_tool_takes_its_name() -> None:
    @tool
    def tell_later() -> None:
        """Another one."""

    with pytest.raises(ToolDefinitionError, match="tell_later is a function of every call"):
        check_tools(AgentFile(Path("a.toml"), Agent()), {(): [tell_later.__tool__]})  # type: ignore[attr-defined]


def test_the_machine_offers_it_for_what_is_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    @tool(mode="queued", on_barge_in="cancel")
    def quote() -> None:
        """Cancelled by the caller's next word."""

    tools = catalog(order_status, current_time, quote)
    monkeypatch.setattr(tools, "mode_of", lambda spec: spec.mode)  # as with a queue
    usual = UsualTimes()
    usual.heard("order_status", 50.0)
    offer = turn_config(Agent(later={"offer_after": 9}), tools, OpenAICodec(), usual, {"send": "default"}).fillers.offer
    assert offer is not None and (offer.after_s, offer.text) == (9.0, WORDS["en"]["send"])
    assert [offer.possible(name) for name in ("order_status", "current_time", "quote")] == [True, False, False]
    assert (offer.expected_s("order_status"), offer.expected_s("current_time")) == (50.0, None)


@pytest.mark.parametrize(
    ("own", "later"), [({"offer_after": 0}, {"send": "x"}), ({}, {}), ({"words": {"send": ""}}, {"send": "x"})]
)
def test_the_machine_offers_nothing_otherwise(own: dict[str, Any], later: dict[Way, str]) -> None:
    assert turn_config(Agent(later=own), catalog(order_status), OpenAICodec(), None, later).fillers.offer is None


def test_canned_offers_are_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[str] = []
    monkeypatch.setattr(CannedVoice, "prepare", lambda self, texts, rate_hz: prepared.extend(texts))
    agents = AgentFile(Path("a.toml"), Agent(fillers={"mode": "canned", "texts": ("Wait.",)}))
    prepare_canned(agents, {(): []}, (8000,), LaterWays(send="default", uri="sip:{caller}@trunk"))
    assert prepared == ["Wait.", *(WORDS["en"][key] for key in ("call_back", "send", "both"))]


@pytest.mark.parametrize(("own", "opening"), [({}, OPENINGS["de"]), ({"opening": "Ich bin es."}, "Ich bin es.")])
async def test_a_call_back_opens_and_tells(own: dict[str, Any], opening: str) -> None:
    orphan = Orphan(
        call_id="first",
        tool_call_id="fc",
        job_id="first-fc",
        tool="order_status",
        summary="order status",
        caller="0301",
        dialled="427",
        hung_up_at=1.0,
        channel="call_back",
        arguments='{"order":"4"}',
    )
    result = LateResult(orphan=orphan, status="ok", output='{"status":"shipped"}', ended_at=2.0)
    agent = Agent(greeting="Guten Tag.", language="de", later=own)
    info = CallInfo("second", "0301", "427", calls_back="first")
    provider = Provider(name="local", url="ws://127.0.0.1:1", key="x", model="m")
    services = Services(catalog(order_status), Metrics(), provider)
    session = make_session(info, agent, PhoneLine(Bridge(8000), lambda reason: None), services, result)
    assert session.machine.state.config.greeting == opening
    [note, call] = [json.loads(frame)["item"] for frame in session._replay()]
    assert note["role"] == "system" and "order status" in note["content"][0]["text"] and opening in str(note)
    assert (call["type"], call["name"], call["call_id"]) == ("function_call", "order_status", "fc")
    assert session.recorder.ended(1.0, "completed").calls_back == "first"


SALES = {"label": "sales", "uri": "sip:200@pbx.example.com"}
BOSS = {"label": "boss", "uri": "sip:1@pbx.example.com", "callers": ("+4930*",)}


def offered_to(info: CallInfo, agent: Agent) -> CallSession:
    provider = Provider(name="x", url="ws://127.0.0.1:1/v1", key="k", model="m")
    services = Services(catalog(current_time), Metrics(), provider)
    return make_session(info, agent, PhoneLine(Bridge(8000), lambda reason: None), services)


@pytest.mark.parametrize(
    ("caller", "private", "labels"),
    [("alice", False, ["sales"]), ("+4930123", False, ["sales", "boss"]), ("+4930123", True, ["sales", "boss"])],
)
async def test_a_call_has_the_targets_that_its_caller_may_have(caller: str, private: bool, labels: list[str]) -> None:
    agent = Agent(transfer=(SALES, BOSS))
    session = offered_to(CallInfo("c", caller, "427", private=private), agent)
    offered = {one["name"]: one for one in session._link._config.tools}
    assert offered["transfer_call"]["parameters"]["properties"]["to"]["enum"] == labels
    assert session.machine.state.config.transfers


async def test_without_targets_there_is_no_such_function() -> None:
    agent = Agent(transfer=(BOSS,))
    session = offered_to(CallInfo("c", "alice", "427"), agent)
    assert "transfer_call" not in [one["name"] for one in session._link._config.tools]
    assert not session.machine.state.config.transfers


def test_who_is_put_through_hears_something_in_the_agents_language() -> None:
    german = filler_config(Agent(language="de-AT", transfer=(SALES,)), ())
    assert german.tool_texts["transfer_call"][0] == "Ich verbinde Sie."
    own = Agent(transfer=(SALES,), fillers={"tools": {"transfer_call": ("I get somebody.",)}})
    assert filler_config(own, ()).tool_texts["transfer_call"] == ("I get somebody.",)
    assert "transfer_call" not in filler_config(Agent(), ()).tool_texts


def test_a_call_is_priced_by_the_models_that_it_uses() -> None:
    def tariff(name: str = "openai", options: dict[str, Any] | None = None, prices: Prices | None = PRICES) -> Any:
        provider = Provider(name=name, url="ws://127.0.0.1:9/v1", model="voice-1", key="")
        services = Services(catalog(current_time), Metrics(), provider, prices=prices)
        line = PhoneLine(Bridge(8000), lambda reason: None)
        session = make_session(CallInfo("c1", "alice", "desk"), Agent(provider=options or {}), line, services)
        return session._call.tariff

    assert tariff() == Tariff(PRICES, "voice-1", "gpt-transcribe")
    own = {"audio": {"input": {"transcription": {"model": "ears-1"}}}}
    assert tariff(options=own) == Tariff(PRICES, "voice-1", "ears-1")
    assert tariff(options={"audio": "odd"}) == Tariff(PRICES, "voice-1", "gpt-transcribe")
    assert tariff("local") is None, "the local server costs nothing"
    assert tariff(prices=None) is None
