"""MCP on the wire: frames that the SDK's client types take, events made of its server types."""

from __future__ import annotations

import json
from typing import Any

import openai.types.realtime as sdk
import pytest
from openai.types.realtime.realtime_mcp_list_tools import Tool

from tests.worker.realtime.openai.test_encode import TOOL, valid
from worker.realtime.base import ResponseRequest, SessionConfig
from worker.realtime.events import ItemCreated, ProviderError, ResponseDone
from worker.realtime.openai.codec import OpenAICodec
from worker.realtime.remote import (
    ApprovalWanted,
    RemoteServer,
    RemoteToolEnded,
    RemoteToolOutput,
    RemoteToolsFailed,
    RemoteToolsListed,
    RemoteToolStarted,
)

TOKEN = "tok-4711-4711"
CRM = RemoteServer(
    label="crm",
    url="https://crm.example.com/mcp",
    authorization=TOKEN,
    headers={"X-Key": "Key s3cret-value"},
    allowed_tools=("find", "order_status"),
    require_approval={"always": {"tool_names": ["find"]}},
    description="Customers.",
)
MAIL = RemoteServer(label="mail", connector_id="connector_gmail", authorization=TOKEN, read_only=True)
AT: dict[str, Any] = {"event_id": "e", "item_id": "mcp_1", "output_index": 0}
STARTED = RemoteToolStarted("resp_1", "mcp_1", "crm", "find", '{"name":"Ada"}')


def tools_of(codec: OpenAICodec, *servers: RemoteServer, **more: Any) -> list[dict[str, Any]]:
    [frame] = codec.session_update(SessionConfig(remote=servers, **more))
    valid(frame)
    return json.loads(frame)["session"]["tools"]


def take(codec: OpenAICodec, *events: Any) -> list[Any]:
    return [found for event in events for found in codec.decode(event.model_dump_json(exclude_unset=True))]


def call(**fields: Any) -> sdk.RealtimeMcpToolCall:
    known = {"id": "mcp_1", "server_label": "crm", "name": "find", "arguments": '{"name":"Ada"}', "type": "mcp_call"}
    return sdk.RealtimeMcpToolCall(**{**known, **fields})


def added(item: Any, response_id: str = "resp_1") -> sdk.ResponseOutputItemAddedEvent:
    return sdk.ResponseOutputItemAddedEvent(
        type="response.output_item.added", event_id="e", response_id=response_id, output_index=0, item=item
    )


def done(item: Any, response_id: str = "resp_1") -> sdk.ResponseOutputItemDoneEvent:
    return sdk.ResponseOutputItemDoneEvent(
        type="response.output_item.done", event_id="e", response_id=response_id, output_index=0, item=item
    )


def in_conversation(item: Any, kind: str = "done") -> Any:
    model = sdk.ConversationItemDone if kind == "done" else sdk.ConversationItemAdded
    return model(type=f"conversation.item.{kind}", event_id="e", previous_item_id=None, item=item)


def listed(label: str, *names: str, item_id: str = "list_1") -> sdk.RealtimeMcpListTools:
    tools = [Tool(name=name, input_schema={"type": "object"}) for name in names]
    return sdk.RealtimeMcpListTools(type="mcp_list_tools", id=item_id, server_label=label, tools=tools)


ARGUMENTS = sdk.ResponseMcpCallArgumentsDone(
    type="response.mcp_call_arguments.done", response_id="resp_1", arguments='{"name":"Ada"}', **AT
)
RUNS = sdk.ResponseMcpCallInProgress(type="response.mcp_call.in_progress", **AT)
ENDED = sdk.ResponseMcpCallCompleted(type="response.mcp_call.completed", **AT)
FAILED = sdk.ResponseMcpCallFailed(type="response.mcp_call.failed", **AT)


class TestDefinitions:
    def test_stand_beside_the_functions_whole(self):
        function, crm, mail = tools_of(OpenAICodec(), CRM, MAIL, tools=(TOOL,))
        assert function["name"] == "order_status"
        assert crm == {
            "type": "mcp",
            "server_label": "crm",
            "server_url": "https://crm.example.com/mcp",
            "authorization": TOKEN,
            "headers": {"X-Key": "Key s3cret-value"},
            "allowed_tools": ["find", "order_status"],
            "require_approval": {"always": {"tool_names": ["find"]}},
            "server_description": "Customers.",
        }
        assert mail == {
            "type": "mcp",
            "server_label": "mail",
            "connector_id": "connector_gmail",
            "authorization": TOKEN,
            "allowed_tools": {"read_only": True},
            "require_approval": "never",
        }

    def test_tools_of_the_providers_options_come_beside_ours(self):
        more = [{"type": "mcp", "server_label": "docs", "server_url": "https://docs.example.com/mcp"}]
        found = tools_of(OpenAICodec(), CRM, tools=(TOOL,), extra={"tools": more})
        assert [tool.get("name") or tool["server_label"] for tool in found] == ["order_status", "crm", "docs"]

    def test_one_of_the_same_name_stands_in_the_others_place(self):
        more = [{**TOOL, "description": "Another one."}, {"type": "mcp", "server_label": "crm"}]
        found = tools_of(OpenAICodec(), CRM, tools=(TOOL,), extra={"tools": more})
        assert [tool.get("description") for tool in found] == ["Another one.", None]

    def test_a_server_whose_tools_a_session_has_goes_by_its_label_and_whole_in_the_next(self):
        codec = OpenAICodec()
        tools_of(codec, CRM, MAIL)
        take(codec, in_conversation(listed("crm", "find")))
        crm, mail = tools_of(codec, CRM, MAIL)
        assert crm == {"type": "mcp", "server_label": "crm"} and "connector_id" in mail
        codec.reset()
        assert [tool["require_approval"] for tool in tools_of(codec, CRM, MAIL)] == [CRM.require_approval, "never"]

    def test_one_that_has_changed_goes_whole(self):
        codec = OpenAICodec()
        tools_of(codec, CRM)
        take(codec, in_conversation(listed("crm", "find")))
        other = RemoteServer(label="crm", url="https://other.example.com/mcp")
        assert tools_of(codec, other)[0]["server_url"] == other.url

    def test_for_one_response_by_label_or_whole(self):
        codec = OpenAICodec()
        tools_of(codec, CRM)
        [frame] = codec.create_response(ResponseRequest(tools=(TOOL,), remote=("crm", MAIL)))
        valid(frame)
        function, crm, mail = json.loads(frame)["response"]["tools"]
        assert function["name"] == "order_status" and crm == {"type": "mcp", "server_label": "crm"}
        assert mail["connector_id"] == "connector_gmail"
        with pytest.raises(ValueError, match="no MCP server 'docs'"):
            codec.create_response(ResponseRequest(remote=("docs",)))

    def test_no_secret_is_shown(self):
        assert TOKEN not in repr(CRM) and "s3cret" not in repr(SessionConfig(remote=(CRM,)))
        codec = OpenAICodec()
        tools_of(codec, CRM)
        error = {"type": "invalid_request_error", "message": f"refused: {TOKEN} and s3cret-value"}
        [told] = codec.decode(json.dumps({"type": "error", "error": error}))
        assert isinstance(told, ProviderError) and told.message == "refused: *** and ***"


class TestLists:
    def test_tools_that_were_listed(self):
        codec = OpenAICodec()
        begins = sdk.McpListToolsInProgress(type="mcp_list_tools.in_progress", event_id="e", item_id="list_1")
        ends = sdk.McpListToolsCompleted(type="mcp_list_tools.completed", event_id="e", item_id="list_1")
        events = take(codec, in_conversation(listed("crm"), "added"), begins, ends)
        assert events == [ItemCreated("list_1", "mcp_list_tools", "")]
        assert take(codec, in_conversation(listed("crm", "find", "order_status"))) == [
            RemoteToolsListed("crm", ("find", "order_status"))
        ]

    def test_a_list_that_failed_is_not_taken_for_an_empty_one(self):
        codec = OpenAICodec()
        failed = sdk.McpListToolsFailed(type="mcp_list_tools.failed", event_id="e", item_id="list_1")
        events = take(codec, in_conversation(listed("crm"), "added"), failed, in_conversation(listed("crm")))
        assert events[1:] == [RemoteToolsFailed("crm")]
        tools_of(codec, CRM)
        assert "server_url" in tools_of(codec, CRM)[0], "it is asked for again, whole"

    def test_a_list_that_failed_of_a_server_that_nobody_named(self):
        failed = sdk.McpListToolsFailed(type="mcp_list_tools.failed", event_id="e", item_id="list_1")
        assert take(OpenAICodec(), failed) == [RemoteToolsFailed("")]


class TestCalls:
    def test_a_call_as_the_guide_has_it(self):
        codec = OpenAICodec()
        assert take(codec, added(call(arguments="")), ARGUMENTS) == []
        assert take(codec, RUNS) == [STARTED]
        assert take(codec, ENDED) == [RemoteToolEnded("mcp_1", True)]
        whole = call(output="Ada Lovelace")
        assert take(codec, done(whole)) == [RemoteToolOutput("mcp_1", "Ada Lovelace")]
        assert take(codec, in_conversation(whole), done(whole)) == [], "each thing once"

    def test_a_call_of_which_only_the_item_is_told(self):
        assert take(OpenAICodec(), done(call(output="Ada"))) == [
            STARTED,
            RemoteToolEnded("mcp_1", True),
            RemoteToolOutput("mcp_1", "Ada"),
        ]

    def test_a_call_that_ends_after_its_response(self):
        codec = OpenAICodec()
        take(codec, added(call(arguments="")), ARGUMENTS, RUNS)
        over = sdk.ResponseDoneEvent(
            type="response.done",
            event_id="e",
            response=sdk.RealtimeResponse(id="resp_1", status="completed", output=[call()]),
        )
        assert take(codec, over) == [ResponseDone("resp_1", "completed")]
        assert take(codec, ENDED, in_conversation(call(output="Ada"))) == [
            RemoteToolEnded("mcp_1", True),
            RemoteToolOutput("mcp_1", "Ada"),
        ]

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            ({"type": "protocol_error", "code": -32602, "message": "bad"}, "protocol_error -32602: bad"),
            ({"type": "http_error", "code": 401, "message": f"no {TOKEN}"}, "http_error 401: no ***"),
            ({"type": "tool_execution_error", "message": "broke"}, "tool_execution_error: broke"),
        ],
    )
    def test_a_call_that_failed(self, error: dict[str, Any], told: str):
        codec = OpenAICodec()
        tools_of(codec, CRM)
        assert take(codec, added(call()), RUNS, FAILED) == [STARTED, RemoteToolEnded("mcp_1", False)]
        assert take(codec, done(call(error=error))) == [RemoteToolOutput("mcp_1", "", told)]
        assert take(OpenAICodec(), done(call(error=error)))[1] == RemoteToolEnded("mcp_1", False)

    def test_an_id_that_a_later_session_uses_again_is_another_call(self):
        codec = OpenAICodec()
        take(codec, done(call(output="Ada")))
        codec.reset()
        started, *_ = take(codec, done(call(output="Ada"), "resp_2"))
        assert started.tool_call_id == "mcp_1-2"

    @pytest.mark.parametrize("field", ["id", "server_label", "name", "arguments", "error", "output"])
    @pytest.mark.parametrize("value", [None, 7, [], {}, "x" * 3000])
    def test_nothing_that_a_peer_sends_raises(self, field: str, value: Any):
        item = {**call(output="Ada").model_dump(), field: value}
        codec = OpenAICodec()
        for kind in ("conversation.item.added", "response.output_item.added", "response.output_item.done"):
            codec.decode(json.dumps({"type": kind, "response_id": value, "item": item}))
        for kind in ("in_progress", "completed", "failed"):
            codec.decode(json.dumps({"type": f"response.mcp_call.{kind}", "item_id": value}))


class TestApprovals:
    REQUEST = sdk.RealtimeMcpApprovalRequest(
        type="mcp_approval_request", id="mcpr_1", server_label="crm", name="find", arguments='{"name":"Ada"}'
    )

    def test_are_asked_for_once_and_answered(self):
        codec = OpenAICodec()
        wanted = take(codec, added(self.REQUEST), done(self.REQUEST), in_conversation(self.REQUEST))
        assert wanted == [ApprovalWanted("resp_1", "mcpr_1", "crm", "find", '{"name":"Ada"}')]
        yes = valid(codec.approve("mcpr_1", True)).item
        no = valid(codec.approve("mcpr_1", False, "Nobody approved it.")).item
        assert isinstance(yes, sdk.RealtimeMcpApprovalResponse)
        assert (yes.approval_request_id, yes.approve, yes.reason) == ("mcpr_1", True, None)
        assert (no.approve, no.reason) == (False, "Nobody approved it.") and yes.id != no.id

    def test_the_call_that_follows_names_its_approval(self):
        codec = OpenAICodec()
        started, *_ = take(codec, added(call(approval_request_id="mcpr_1"), ""), RUNS)
        assert (started.response_id, started.approval_id) == ("", "mcpr_1")

    def test_a_refused_answer_is_known(self):
        codec = OpenAICodec()
        [frame] = codec.approve("mcpr_1", True)
        error = {"type": "invalid_request_error", "message": "no", "event_id": json.loads(frame)["event_id"]}
        [told] = codec.decode(json.dumps({"type": "error", "error": error}))
        assert told.request == "approval" and told.metadata == {"approval_id": "mcpr_1"}
