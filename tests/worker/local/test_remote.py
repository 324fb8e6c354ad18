"""MCP in the local server's protocol: imports, approvals, calls. Every event is one that the SDK's types take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from openai.types.realtime.realtime_server_event import RealtimeServerEvent
from pydantic import TypeAdapter

from worker.local.brain import Faults
from worker.local.remote import Fault

SERVER_EVENT: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
ORDER_STATUS = {"name": "order_status", "input_schema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
CANCEL = {"name": "cancel_order", "input_schema": {"type": "object"}}
SHOP = {"type": "mcp", "server_label": "shop", "server_url": "http://127.0.0.1:9/mcp", "require_approval": "never"}
MAIL = {"type": "mcp", "server_label": "mail", "connector_id": "connector_gmail"}
QUESTION = "what is the status of order four two seven"
FOUND = '{"order": "427", "status": "shipped"}'
ANSWER = "Order four two seven is shipped."


@pytest.fixture
def shop(make_scene: Callable[..., Any]) -> Any:
    """A session that has the tools of a shop."""
    return opened(make_scene())


def opened(scene: Any, **definition: Any) -> Any:
    scene.shelf = [ORDER_STATUS, CANCEL]
    scene.update(tools=[{**SHOP, **definition}])
    return scene


def check(events: Any) -> None:
    for event in events:
        SERVER_EVENT.validate_python(event, strict=True)


def mcp(events: Any) -> list[str]:
    return [event["type"] for event in events if "mcp" in event["type"]]


class TestImports:
    def test_come_after_the_session_and_list_the_tools(self, make_scene: Callable[..., Any]) -> None:
        scene = make_scene()
        scene.shelf = [ORDER_STATUS]
        events = scene.update(tools=[SHOP])
        assert events.types == [
            "session.updated",
            "conversation.item.added",
            "mcp_list_tools.in_progress",
            "mcp_list_tools.completed",
            "conversation.item.done",
        ]
        item = events.one("conversation.item.done")["item"]
        assert item["server_label"] == "shop" and [tool["name"] for tool in item["tools"]] == ["order_status"]
        check(events)

    def test_that_fail_leave_no_tools(self, make_scene: Callable[..., Any]) -> None:
        scene = make_scene()
        scene.shelf = Fault("http_error", "gone", 502)
        events = scene.update(tools=[SHOP])
        assert mcp(events) == ["mcp_list_tools.in_progress", "mcp_list_tools.failed"]
        scene.say(QUESTION)
        assert scene.run().spoken == ["I am sorry, I can't do that."]

    @pytest.mark.parametrize(
        ("allowed", "names"),
        [
            (["cancel_order"], ["cancel_order"]),
            ({"read_only": True}, ["order_status"]),
            ({"tool_names": ["order_status"], "read_only": False}, []),
        ],
    )
    def test_are_cut_to_what_is_allowed(self, make_scene: Callable[..., Any], allowed: Any, names: list[str]) -> None:
        scene = opened(make_scene(), allowed_tools=allowed)
        item = scene.events.one("conversation.item.done")["item"]
        assert [tool["name"] for tool in item["tools"]] == names

    def test_a_known_label_is_not_imported_again(self, shop: Any) -> None:
        events = shop.update(tools=[{"type": "mcp", "server_label": "shop"}])
        assert events.types == ["session.updated"]
        shop.say(QUESTION)
        shop.run()
        assert [job.name for job in shop.runs] == ["order_status"]

    def test_secrets_are_not_shown(self, make_scene: Callable[..., Any]) -> None:
        scene = opened(make_scene(), authorization="t0ken", headers={"X-Key": "s3cret"})
        assert "t0ken" not in str(scene.events) and "s3cret" not in str(scene.events)
        [tool] = scene.events.one("session.updated")["session"]["tools"]
        assert tool["authorization"] == "<redacted>" and tool["headers"] == {"X-Key": "<redacted>"}


class TestRefused:
    @pytest.mark.parametrize(
        ("tools", "code", "param"),
        [
            ([SHOP, SHOP], "duplicate_server_label", "session.tools[1].server_label"),
            ([{"type": "mcp", "server_label": "shop"}], "missing_required_parameter", "session.tools[0].server_url"),
            ([{"type": "mcp"}], "missing_required_parameter", "session.tools[0].server_label"),
            (
                [{**SHOP, "connector_id": "connector_gmail"}],
                "mutually_exclusive_parameters",
                "session.tools[0].connector_id",
            ),
            ([{**SHOP, "connector_id": "connector_fax"}], "invalid_value", "session.tools[0].connector_id"),
            ([{**SHOP, "server_url": "shop"}], "invalid_url", "session.tools[0].server_url"),
            (
                [{**SHOP, "authorization": "a", "headers": {"authorization": "b"}}],
                "invalid_value",
                "session.tools[0].headers",
            ),
            (
                [{**MAIL, "headers": {"Authorization": "b"}}],
                "invalid_value",
                "session.tools[0].headers",
            ),
            ([{**SHOP, "require_approval": "ask"}], "invalid_value", "session.tools[0].require_approval"),
            ([{**SHOP, "url": "x"}], "unknown_parameter", "session.tools[0].url"),
        ],
    )
    def test_definitions(self, make_scene: Callable[..., Any], tools: Any, code: str, param: str) -> None:
        scene = make_scene()
        assert scene.update(tools=tools, instructions="x").error == (code, param)
        assert scene.session.config.values["tools"] == [], "refused as a whole"

    def test_answers_to_no_request_and_second_ones(self, make_scene: Callable[..., Any]) -> None:
        scene = opened(make_scene(), require_approval="always")
        answer = {"type": "mcp_approval_response", "id": "a1", "approval_request_id": "x", "approve": True}
        refused = scene.send("conversation.item.create", item=answer).error
        assert refused == ("invalid_approval_request_id", "item.approval_request_id")
        scene.say(QUESTION)
        wanted = scene.run().of("response.output_item.done")[-1]["item"]["id"]
        scene.send("conversation.item.create", item={**answer, "approval_request_id": wanted, "approve": False})
        again = scene.send("conversation.item.create", item={**answer, "id": "a2", "approval_request_id": wanted})
        assert again.error[0] == "duplicate_approval_response"


class TestCalls:
    def test_run_within_their_response_which_goes_on_with_words(self, shop: Any) -> None:
        shop.say(QUESTION)
        before = shop.run()
        assert mcp(before)[-2:] == ["response.mcp_call_arguments.done", "response.mcp_call.in_progress"]
        assert not before.of("response.done")
        [job] = shop.runs
        assert (job.name, job.arguments) == ("order_status", '{"order": "427"}')
        after = shop.ran(FOUND) + shop.run()
        assert [event["type"] for event in after][:3] == [
            "response.mcp_call.completed",
            "conversation.item.done",
            "response.output_item.done",
        ]
        assert [one["transcript"] for one in after if one["type"].endswith("transcript.done")] == [ANSWER]
        [done] = [event for event in after if event["type"] == "response.done"]
        kinds = [item["type"] for item in done["response"]["output"]]
        assert kinds == ["message", "mcp_call", "message"]
        assert done["response"]["output"][1]["output"] == FOUND
        indexes = [event["output_index"] for event in shop.events.of("response.output_item.added")]
        assert indexes == [0, 1, 2]
        check(shop.events)

    def test_that_fail_say_so(self, shop: Any) -> None:
        shop.say(QUESTION)
        shop.run()
        after = shop.ran(Fault("http_error", "gone", 502))
        assert after.types[0] == "response.mcp_call.failed"
        item = after.one("response.output_item.done")["item"]
        assert item["error"] == {"type": "http_error", "message": "gone", "code": 502} and item["output"] is None
        assert shop.run().spoken == ["I am sorry, that did not work."]
        check(shop.events)

    def test_go_on_when_the_caller_speaks_and_are_told_with_the_next_answer(self, shop: Any) -> None:
        shop.say(QUESTION)
        shop.run()
        shop.say("tell me a story")
        [done] = shop.events.of("response.done")
        assert done["response"]["status"] == "cancelled"
        shop.run()
        assert shop.ran(FOUND).types[0] == "response.mcp_call.completed"
        assert shop.run().types == []
        shop.send("response.create")
        assert shop.run().spoken == [ANSWER]

    def test_a_response_may_end_before_and_nothing_follows_until_it_is_asked_for(
        self, make_scene: Callable[..., Any]
    ) -> None:
        scene = opened(make_scene(faults=Faults(remote_done_first=True)))
        scene.say(QUESTION)
        scene.run()
        [done] = scene.events.of("response.done")
        assert done["response"]["output"][1]["output"] is None
        scene.ran(FOUND)
        assert scene.run().types == []
        scene.send("response.create")
        assert scene.run().spoken == [ANSWER]
        check(scene.events)

    def test_functions_and_tools_of_servers_stand_side_by_side(self, make_scene: Callable[..., Any]) -> None:
        scene = make_scene()
        scene.shelf = [{**ORDER_STATUS, "name": "current_time"}]
        scene.update(tools=[{"type": "function", "name": "order_status"}, SHOP])
        scene.say("both")
        scene.run()
        assert [job.name for job in scene.runs] == ["current_time"]
        assert [item.name for item in scene.session.conversation.open_calls()] == ["order_status"]

    def test_a_response_of_its_own_server_waits_for_the_list(self, make_scene: Callable[..., Any]) -> None:
        scene = make_scene()
        scene.say(QUESTION)
        scene.run()
        scene.shelf, scene.hold = [ORDER_STATUS], True
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": QUESTION}]}
        scene.send("conversation.item.create", item=item)
        scene.send("response.create", response={"tools": [SHOP]})
        assert scene.runs == []
        scene.release()
        scene.run()
        assert [job.name for job in scene.runs] == ["order_status"]

    @pytest.mark.parametrize(("choice", "runs"), [({"type": "mcp", "server_label": "shop"}, 1), ("none", 0)])
    def test_tool_choice_may_name_a_server(self, shop: Any, choice: Any, runs: int) -> None:
        shop.update(tool_choice=choice)
        shop.say(QUESTION)
        shop.run()
        assert len(shop.runs) == runs


class TestApprovals:
    @pytest.mark.parametrize(
        ("rule", "asks"),
        [
            ("always", True),
            (None, True),
            ("never", False),
            ({"never": {"tool_names": ["order_status"]}}, False),
            ({"always": {"tool_names": ["cancel_order"]}}, False),
            ({"always": {"read_only": True}}, True),
            ({"always": {"tool_names": ["order_status"]}, "never": {"read_only": True}}, False),
        ],
    )
    def test_are_wanted_by_rule(self, make_scene: Callable[..., Any], rule: Any, asks: bool) -> None:
        scene = make_scene()
        scene.shelf = [ORDER_STATUS, CANCEL]
        definition = {key: value for key, value in SHOP.items() if key != "require_approval"}
        scene.update(tools=[{**definition, **({} if rule is None else {"require_approval": rule})}])
        scene.say(QUESTION)
        scene.run()
        assert (scene.runs == []) is asks

    def ask(self, scene: Any) -> str:
        scene.say(QUESTION)
        [done] = scene.run().of("response.done")
        assert [item["type"] for item in done["response"]["output"]] == ["message", "mcp_approval_request"]
        return str(done["response"]["output"][1]["id"])

    def decide(self, scene: Any, wanted: str, approve: bool) -> Any:
        answer = {"type": "mcp_approval_response", "id": "a1", "approval_request_id": wanted, "approve": approve}
        return scene.send("conversation.item.create", item=answer)

    def test_a_yes_runs_the_call_and_the_answer_is_told(self, make_scene: Callable[..., Any]) -> None:
        scene = opened(make_scene(), require_approval="always")
        wanted = self.ask(scene)
        self.decide(scene, wanted, True)
        scene.run()
        scene.ran(FOUND)
        [done] = scene.run().of("response.done")
        assert done["response"]["output"][0]["approval_request_id"] == wanted
        assert scene.events.spoken[-1] == ANSWER
        check(scene.events)

    def test_a_no_is_told(self, make_scene: Callable[..., Any]) -> None:
        scene = opened(make_scene(), require_approval="always")
        self.decide(scene, self.ask(scene), False)
        assert scene.run().spoken == ["I am sorry, that did not work."] and scene.runs == []

    def test_a_call_may_wait_for_a_response(self, make_scene: Callable[..., Any]) -> None:
        scene = opened(make_scene(faults=Faults(approval_waits=True)), require_approval="always")
        self.decide(scene, self.ask(scene), True)
        scene.run()
        assert scene.runs == []
        scene.send("response.create")
        scene.run()
        assert len(scene.runs) == 1
