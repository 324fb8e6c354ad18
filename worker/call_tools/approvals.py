"""The one door for approvals in a phone call: whose call runs what, it is asked here and waits.

`decide` takes a tool call (the agent's own, one of an MCP server that we run, one that the provider wants to run) and
returns who said what. Nothing else approves: the model has no way here, and what a tool returns is not read.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tools.define.approval import (
    APPROVED,
    DECLINED,
    ApprovalRule,
    Approvers,
    CallFacts,
    CallToApprove,
    approvers_of,
    strictest,
)
from tools.foreign import is_our_stop
from worker.call_tools.approval import Decision, Wanted
from worker.call_tools.approval_words import question_for, question_text
from worker.call_tools.policy import ToolPolicy
from worker.call_tools.reference import policy_of
from worker.records.telemetry import Telemetry
from worker.turns.events import ApprovalAnswered, ApprovalAwaited, ApprovalEnded

__all__ = ["Approvals", "Told"]

RULE_S = 5.0
"""A rule that takes longer says no."""
LONGEST_WHO = 100

Told = Literal["done", "unknown", "answered"]


@dataclass(slots=True)
class _Open:
    """An approval that is waited for. approvers: None while a rule is asked."""

    number: int
    wanted: Wanted
    began: float
    until: float
    decided: asyncio.Future[Decision]
    approvers: Approvers | None = None
    question: str = ""


class Approvals:
    """One call's. `feed` gives an event to the turn machine, which asks the caller."""

    def __init__(
        self,
        call: Telemetry,
        policy: ToolPolicy,
        feed: Callable[[object], None],
        *,
        agent: str = "",
        language: str = "en",
        voice: bool = True,
    ) -> None:
        """voice: the provider writes down what the caller says."""
        self._call = call
        self._policy = policy
        self._feed = feed
        self._agent = agent
        self._language = language
        self._voice = voice
        self._open: dict[str, _Open] = {}
        self._numbers = 0
        self._hung_up = False

    # --- who wants an approval ----------------------------------------------------------------------------------------

    async def decide(self, wanted: Wanted) -> Decision:
        """Wait for the decision on a tool call; one that needs nobody's has it at once. Never raises for a refusal.

        What is approved is this tool with these arguments, once: the same call again is asked for again.
        """
        own = [policy_of(one) for one in wanted.policies]
        policies = [*own, *(one for name in wanted.tools for one in self._policy.approvals_of(name))]
        rules = [one for one in policies if not isinstance(one, str)]
        fixed = strictest(approvers_of(one) for one in policies if isinstance(one, str))
        if not rules and fixed == APPROVED:
            return Decision(True, "never")
        if self._hung_up:
            return Decision(False, "hang-up")
        there = self._open.get(wanted.tool_call_id)
        if there is not None:
            if there.wanted.fingerprint == wanted.fingerprint:
                return await asyncio.shield(there.decided)
            return Decision(False, "nobody", "the call was changed while it waited")
        if any(one.wanted.fingerprint == wanted.fingerprint for one in self._open.values()):
            return Decision(False, "nobody", "the same call waits already")
        return await self._see_through(self._begin(wanted), rules, fixed)

    def _begin(self, wanted: Wanted) -> _Open:
        self._numbers += 1
        now = self._call.clock()
        decided = asyncio.get_running_loop().create_future()
        one = _Open(self._numbers, wanted, now, now + self._policy.approval_s, decided)
        self._open[wanted.tool_call_id] = one
        self._call.recorder.approval_wanted(self._call.now_ms, one.number, wanted.tool, wanted.tool_call_id)
        self._feed(ApprovalAwaited(one.number, wanted.tool_call_id))
        return one

    async def _see_through(self, one: _Open, rules: list[ApprovalRule], fixed: Approvers) -> Decision:
        decision = Decision(False, "nobody", "a fault of ours")
        try:
            async with asyncio.timeout(self._policy.approval_s):
                decision = await self._ask(one, rules, fixed)
        except TimeoutError:
            decision = Decision(False, "nobody", "no answer")
        except asyncio.CancelledError:
            decision = Decision(False, "hang-up")
            raise
        finally:
            del self._open[one.wanted.tool_call_id]
            if not one.decided.done():
                one.decided.set_result(decision)
            self._tell(one, decision)
            self._feed(ApprovalEnded(one.number, one.wanted.tool_call_id))
        return decision

    async def _ask(self, one: _Open, rules: list[ApprovalRule], fixed: Approvers) -> Decision:
        call, wanted = self._call, one.wanted
        ruled = await asyncio.gather(*(self._rule(rule, wanted) for rule in rules))
        one.approvers = strictest([fixed, *ruled])
        if one.decided.done():  # hung up, or withdrawn, while a rule was asked
            return one.decided.result()
        if one.approvers == APPROVED:
            return Decision(True, "rule")
        if one.approvers == DECLINED:
            return Decision(False, "rule" if DECLINED in ruled else "never", "nobody may")
        template = self._policy.question_of(wanted.tool)
        template = wanted.question if template is None else template
        one.question = question_text(template, wanted.summary or wanted.tool, wanted.arguments, self._language)
        told = {"tool": wanted.tool, "tool_call_id": wanted.tool_call_id, "number": one.number}
        call.log.info("approval_wanted", **told, of=" or ".join(sorted(one.approvers)))
        if one.approvers & {"caller", "key"}:
            voice = self._voice and "caller" in one.approvers
            question = question_for(one.question, self._language, voice=voice)
            call.recorder.approval_asked(call.now_ms, one.number)
            self._feed(ApprovalAwaited(one.number, wanted.tool_call_id, question))
        return await asyncio.shield(one.decided)

    async def _rule(self, rule: ApprovalRule, wanted: Wanted) -> Approvers:
        """What the operator's own function says; where it fails, nobody may."""
        call = self._call
        what = CallToApprove(tool=wanted.tool, tool_call_id=wanted.tool_call_id, arguments=dict(wanted.arguments))
        facts = CallFacts(
            call_id=call.info.call_id,
            caller=call.info.caller,
            dialled=call.info.dialled,
            agent=self._agent,
            language=self._language,
        )
        try:
            async with asyncio.timeout(RULE_S):
                if inspect.iscoroutinefunction(rule):
                    said = await rule(what, facts)
                else:
                    said = await asyncio.to_thread(rule, what, facts)
            if not isinstance(said, str):
                raise TypeError(f"the rule returned a {type(said).__name__}")
            return approvers_of(said)
        except BaseException as error:  # whatever the operator's function raises, sys.exit too
            if is_our_stop(error):
                raise
            # Nothing of its words: a rule may put arguments into them.
            call.log.error("approval_rule_failed", tool=wanted.tool, reason=type(error).__name__)
            return DECLINED

    def _tell(self, one: _Open, decision: Decision) -> None:
        """Record, metrics and log: who said what, and when. No arguments."""
        call = self._call
        waited_s = call.clock() - one.began
        answer = "approved" if decision.approved else "declined"
        call.recorder.approval_answered(
            call.now_ms, one.number, decision.approved, decision.by, decision.why, decision.who
        )
        call.metrics.approvals_total.labels(decision.by, answer).inc()
        call.metrics.approval_wait.observe(waited_s)
        call.log.info(
            f"approval_{answer}",
            tool=one.wanted.tool,
            tool_call_id=one.wanted.tool_call_id,
            number=one.number,
            by=decision.by,
            who=decision.who,
            why=decision.why,
            waited_ms=round(waited_s * 1000),
        )

    # --- who answers --------------------------------------------------------------------------------------------------

    def answered(self, command: ApprovalAnswered) -> None:
        """The caller has answered, or won't."""
        one = self._of(command.number)
        if one is None:
            return
        if command.by == "nobody" and one.approvers is not None and "operator" in one.approvers:
            self._call.log.info("approval_left_to_operator", number=one.number, why=command.why)
            self._call.recorder.approval_left(self._call.now_ms, one.number)
            return
        self._settle(one, Decision(command.approved, command.by, command.why))

    def answer(self, number: int, approved: bool, who: str = "") -> Told:
        """An operator has answered. It counts where they were asked, and nobody has answered before."""
        one = self._of(number)
        if one is None or one.approvers is None:
            return "answered" if 0 < number <= self._numbers and one is None else "unknown"
        if "operator" not in one.approvers:
            return "unknown"
        self._settle(one, Decision(approved, "operator", who=who[:LONGEST_WHO]))
        return "done"

    def waiting(self) -> list[dict[str, object]]:
        """What waits for an operator, for them to read: with the arguments that it would run with."""
        now = self._call.clock()
        return [
            {
                "number": one.number,
                "tool": one.wanted.tool,
                "question": one.question,
                "arguments": dict(one.wanted.arguments),
                "seconds_left": round(max(0.0, one.until - now), 1),
            }
            for one in self._open.values()
            if one.approvers is not None and "operator" in one.approvers and not one.decided.done()
        ]

    def withdraw(self, tool_call_id: str) -> bool:
        """The call is not wanted any more. False where it does not wait."""
        one = self._open.get(tool_call_id)
        if one is None or one.decided.done():
            return False
        self._settle(one, Decision(False, "nobody", "it is not wanted any more"))
        return True

    def end(self) -> None:
        """The caller has hung up: all that waits is declined."""
        self._hung_up = True
        for one in self._open.values():
            self._settle(one, Decision(False, "hang-up"))

    def _of(self, number: int) -> _Open | None:
        return next((one for one in self._open.values() if one.number == number and not one.decided.done()), None)

    @staticmethod
    def _settle(one: _Open, decision: Decision) -> None:
        if not one.decided.done():
            one.decided.set_result(decision)
