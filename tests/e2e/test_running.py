"""How tools are run in a call: tried again, kept, chained, moved to the queue, stopped, all at once, with secrets."""

from __future__ import annotations

from collections.abc import Callable

from parts.caller import Call
from parts.program import command_line, until
from parts.provider import ANSWER_HZ, FILLER_HZ, Session, is_filler, is_no_filler
from parts.services import OwnDesk

Dial = Callable[[], tuple[Call, Session, str]]


def test_an_idempotent_tool_is_tried_again_after_growing_pauses_and_no_other_is(
    dial_workshop: Dial, workshop: OwnDesk
) -> None:
    call, session, call_id = dial_workshop()
    flaky = session.calls("flaky", {"name": "flaky", "good_at": 3})
    breaks = session.calls("breaks", {"name": "breaks"})
    assert session.output(breaks)["status"] == "failed"
    assert session.output(flaky) == {"tries": 3}
    call.hears_tone(ANSWER_HZ, 500)
    [first, second, third] = workshop.marks("flaky")
    assert second[1] - first[1] >= 1 and third[1] - second[1] >= 2, "s of back-off, by the tool's own clock"
    assert len({pid for pid, _ in (first, second, third)}) == 3, "each try has a process of its own"
    assert len(workshop.marks("breaks")) == 1, "nobody said that it may run twice"
    call.hang_up()
    assert session.outputs(flaky) == session.outputs(breaks) == 1
    record = workshop.worker.record(call_id)
    assert [(one["tool"], one["status"]) for one in record["tool_calls"]] == [("flaky", "ok"), ("breaks", "failed")]


def test_a_kept_answer_is_given_again_until_its_time_is_over(dial_workshop: Dial, workshop: OwnDesk) -> None:
    call, session, call_id = dial_workshop()
    assert session.output(session.calls("price", {"article": "lamp"})) == {"price": 1}
    assert session.output(session.calls("price", {"article": "lamp"})) == {"price": 1}, "in the same call"
    assert session.output(session.calls("price", {"article": "chair"})) == {"price": 1}, "which is another article"
    assert session.output(session.calls("rate", {"currency": "EUR"})) == {"rate": 1}
    other_call, other, _ = dial_workshop()
    assert other.output(other.calls("price", {"article": "lamp"})) == {"price": 1}, "in another call"
    other_call.hears_tone(ANSWER_HZ, 500)
    assert len(workshop.marks("price.lamp")) == len(workshop.marks("price.chair")) == 1
    client = workshop.redis.client
    until(lambda: not client.keys("offhook:cache:rate:*"), "the rate is too old")
    assert 500 < client.ttl(client.keys("offhook:cache:price:*")[0]) <= 600
    assert session.output(session.calls("rate", {"currency": "EUR"})) == {"rate": 2}, "asked for anew"
    call.hang_up()
    prices = [one for one in workshop.worker.record(call_id)["tool_calls"] if one["tool"] == "price"]
    assert [(one["status"], one["job_id"] is None) for one in prices] == [("ok", False), ("ok", True), ("ok", False)]


def test_a_tool_that_needs_another_follows_it_as_a_job_without_the_model(
    dial_workshop: Dial, workshop: OwnDesk
) -> None:
    call, session, call_id = dial_workshop()
    route = session.calls("route", {"number": "427"})
    workshop.begun("find.427")
    job = workshop.redis.job(f"{call_id}-{route}")
    [needed] = job.fetch_dependencies()
    assert (job.get_status(), needed.get_status()) == ("deferred", "started"), "one waits for the other, in the queue"
    assert not workshop.marks("route.427")
    workshop.open("find.427")
    assert session.output(route) == {"to": "1 Main Street", "km": 12}
    call.hears_tone(ANSWER_HZ, 500)
    assert len(session.got("response.create", is_no_filler)) == 1, "the model was not asked in between"
    assert len(session.got("conversation.item.create")) == 1

    workshop.open("find.none")
    refused = session.output(session.calls("route", {"number": "none"}))
    assert refused == {"status": "failed", "error": "There is no such order."}
    assert not workshop.marks("route.none"), "what it needs has failed"
    call.hang_up()
    record = workshop.worker.record(call_id)
    assert [(one["tool"], one["status"]) for one in record["tool_calls"]] == [("route", "ok"), ("route", "failed")]


def test_a_tool_that_proves_slow_moves_to_the_queue_and_a_quick_one_stays(
    dial_workshop: Dial, workshop: OwnDesk
) -> None:
    call, session, call_id = dial_workshop()
    worker = {"pid": workshop.worker.pid}
    assert session.output(session.calls("measure")) == worker
    assert session.output(session.calls("weigh", {"seconds": 1.2})) == worker, "nothing is known of it yet"
    moved = session.output(session.calls("weigh", {"seconds": 0.0}))
    assert moved != worker, "it has been slow"
    assert [session.output(session.calls("measure")) for _ in range(2)] == [worker, worker]
    call.hang_up()
    used = [(one["tool"], one["mode"]) for one in workshop.worker.record(call_id)["tool_calls"]]
    quick = ("measure", "inline")
    assert used == [quick, ("weigh", "inline"), ("weigh", "queued"), quick, quick]


def test_a_tool_that_takes_too_long_is_excused_then_stopped(dial_workshop: Dial, workshop: OwnDesk) -> None:
    call, session, call_id = dial_workshop()
    overlong = session.calls("overlong", {"name": "overlong"})
    call.hears_tone(FILLER_HZ, 300)
    said = session.got("response.create", is_filler)[0]["response"]["instructions"]
    assert said == "Say exactly: Let me see.", "the soft budget: its own words for it"
    outcome = session.output(overlong)
    assert outcome["status"] == "timeout" and "took too long" in outcome["error"]
    call.hears_tone(ANSWER_HZ, 500)
    [(pid, _)] = workshop.marks("overlong.started")
    until(lambda: not command_line(pid), "its process is gone")
    job = workshop.redis.job(f"{call_id}-{overlong}")
    until(lambda: job.get_status() == "stopped", lambda: f"stopped by the call, not {job.get_status()}")
    workshop.open("overlong")
    assert session.output(session.calls("meet", {"name": "after", "others": []})) == {"met": "after"}
    assert not workshop.marks("overlong.ended"), "it was stopped, not just given up"
    call.hang_up()
    record = workshop.worker.record(call_id)
    assert [(one["tool"], one["status"]) for one in record["tool_calls"]] == [("overlong", "timeout"), ("meet", "ok")]


def test_the_calls_of_one_response_run_at_once_and_are_answered_together(
    dial_workshop: Dial, workshop: OwnDesk
) -> None:
    """Each ends only when all of them run; the gated one is the last."""
    call, session, call_id = dial_workshop()
    response = session.begin()
    names = ["party.1", "party.2"]
    everyone = {"others": [*names, "party.3.open"]}
    first = session.call(response, "meet", {"name": names[0], **everyone})
    second = session.call(response, "meet_here", {"name": names[1], **everyone})
    third = session.call(response, "gated", {"name": "party.3"})
    until(lambda: all(workshop.marks(name) for name in (*names, "party.3.started")), "all three run")
    session.end(response)
    workshop.open("party.3")
    outputs = [session.output(one) for one in (first, second, third)]
    assert outputs == [{"met": "party.1"}, {"met": "party.2"}, {"done": "party.3"}]
    call.hears_tone(ANSWER_HZ, 500)
    call.waits(500)
    order = [message["type"] for message in session.received if is_no_filler(message)]
    assert order[-4:] == ["conversation.item.create"] * 3 + ["response.create"]
    assert order.count("response.create") == 1, "one answer to all of them"
    call.hang_up()
    assert [one["status"] for one in workshop.worker.record(call_id)["tool_calls"]] == ["ok"] * 3


def test_a_secret_reaches_its_tool_and_nobody_else(dial_workshop: Dial, workshop: OwnDesk, shop_key: str) -> None:
    call, session, call_id = dial_workshop()
    known = {"length": len(shop_key), "known": ["SHOP_KEY"]}
    assert session.output(session.calls("unlock")) == session.output(session.calls("unlock_here")) == known
    for tool in ("leak", "leak_here"):
        assert session.output(session.calls(tool))["status"] == "failed"
    call.hears_tone(ANSWER_HZ, 500)
    call.hang_up()
    record = workshop.worker.record(call_id)
    assert [one["status"] for one in record["tool_calls"]] == ["ok", "ok", "failed", "failed"]
    programs = (workshop.worker, *workshop.tool_workers)
    logs = [line for program in programs for line in (*program.out, *program.err)]
    told = [line for line in logs if "vault.internal" in line and call_id in line]
    assert len(told) == 2, "the errors are in the logs, to be mended"
    written = [path for path in workshop.folder.rglob("appendonly*") if path.is_file()]
    assert any(b"unlock" in path.read_bytes() for path in written), "all that Redis was ever told"
    places = {
        "logs": "\n".join(logs),
        "the provider's session": str(session.received),
        "the record": str(record),
        **{f"Redis' {path.name}": path.read_bytes().decode(errors="replace") for path in written},
    }
    assert [place for place, text in places.items() if shop_key in text] == []
