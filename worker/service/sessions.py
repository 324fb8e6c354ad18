"""Makes the sessions of a worker's calls, out of what the worker shares among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from telephony.bridge import Bridge
from telephony.sip.facts import InviteFacts
from tools.define.context import invite_facts
from tools.queue.backlog import Judged
from tools.queue.store.call_backs import CallBack
from tools.queue.store.late import LateResult, Orphan
from worker.agent.agent import Agent
from worker.agent.agent_file import AgentFile, Route
from worker.call.answering import Answering
from worker.call.factory import make_session
from worker.call.session import CallInfo, CallSession, PhoneLine, Services
from worker.call_tools.durations import filled
from worker.records.record import Observer
from worker.service.dial_rules import Order, Refused, Target
from worker.service.loaded import ToolsKey
from worker.service.switchboard import MakeSession

__all__ = ["Sessions"]

HangUp = Callable[[str], None]


class Sessions:
    """Knows the agents, and what every call shares."""

    def __init__(
        self,
        agents: AgentFile,
        services: Mapping[ToolsKey, Services],
        judged: Callable[[], Judged],
        late: Callable[[float], None],
    ) -> None:
        """services: by the agent's tools. judged: how long a tool call would wait at the moment.

        late: gets how late the media clock was at the worst in a call's last second (s).
        """
        self._agents = agents
        self._late = late
        self._services = services
        self._judged = judged

    def use(self, agents: AgentFile, services: Mapping[ToolsKey, Services]) -> None:
        """Take others, for the calls to come."""
        self._agents, self._services = agents, services

    def make(
        self,
        info: CallInfo,
        bridge: Bridge,
        hang_up: HangUp,
        brings: LateResult | None = None,
        agent: Agent | None = None,
    ) -> CallSession:
        """Return a session for a call. brings: what the caller is called back for. agent: where no route says."""
        route = None if agent is not None else self._agents.route_for(info.dialled, info.caller, info.facts)
        if agent is None:
            agent = self._agents.default if route is None else route.agent
        line, services = PhoneLine(bridge, hang_up, self._late), self._services[agent.tools_key]
        return make_session(info, agent, line, services, brings, None if route is None else _named(route))

    def agent_of(self, orphan: Orphan) -> Agent:
        """Return the agent of the call that is called back."""
        return self._agents.agent_for(orphan.dialled, orphan.caller, facts_of(orphan))

    def for_call(self, info: CallInfo, bridge: Bridge, hang_up: HangUp) -> CallSession:
        """Return the session of an ordinary call; a caller who would have to wait for tools is told so."""
        session = self.make(info, bridge, hang_up)
        agent, judged = session.agent, self._judged()
        if judged.answer != "ok" and self._services[agent.tools_key].catalog.queues():
            words = (filled(text, judged.wait_s, agent.language) for text in agent.limits.busy)
            if (notice := next(filter(None, words), None)) is not None:
                session.notice(notice)
        return session

    def for_order(self, order: Order, target: Target, observer: Observer) -> MakeSession:
        """Return what makes the session of a call that was ordered; the observer is told its edges.

        Raises Refused where it names an agent that there isn't.
        """
        named = {agent.name: agent for agent in self._agents.agents()}
        if order.agent is not None and order.agent not in named:
            raise Refused(400, f"agent: there is no {order.agent[:64]!r}, but {', '.join(map(repr, sorted(named)))}")

        def make(call: CallInfo, bridge: Bridge, hang_up: HangUp) -> CallSession:
            info = CallInfo(call.call_id, "", target.called, outbound=True, facts=call.facts, context=order.context)
            session = self.make(info, bridge, hang_up, agent=None if order.agent is None else named[order.agent])
            session.recorder.subscribe(observer)
            return session

        return make

    def for_call_back(self, found: CallBack, observer: Observer) -> MakeSession:
        """Return what makes the session of a call back; the observer is told its edges."""

        def make(call: CallInfo, bridge: Bridge, hang_up: HangUp) -> CallSession:
            orphan = found.result.orphan
            info = CallInfo(
                call.call_id,
                orphan.caller,
                orphan.dialled,
                calls_back=orphan.call_id,
                outbound=True,
                facts=replace(facts_of(orphan), account=call.facts.account),
            )
            session = self.make(info, bridge, hang_up, found.result)
            session.recorder.subscribe(observer)
            if found.tries > 1 and session.agent.outbound.on_machine == "message":  # one message is enough
                quiet = session.agent.outbound.model_copy(update={"on_machine": "hang_up"})
                session.screen(Answering(quiet, private=True, rate_hz=bridge.rate_hz))
            return session

        return make


def _named(route: Route) -> str:
    """What a route is for, as the record has it."""
    when = {
        "dialled": route.dialled,
        "account": route.when.account,
        "caller": route.when.caller,
        "diverted_from": route.when.diverted_from,
    }
    return ", ".join(f"{name} {value}" for name, value in when.items() if value not in (None, "*")) or "*"


def facts_of(orphan: Orphan) -> InviteFacts:
    """What the INVITE said of the call that is called back."""
    return InviteFacts(**invite_facts(orphan.facts))
