"""Every name in our spans, in one place.

`GEN_AI_*`, `MESSAGING_*` and `ERROR_TYPE` are OpenTelemetry's (semantic conventions for generative AI, for messaging,
and general ones). `OFFHOOK_*` are ours, where there is none; `README.md` here has the table of what they mean.
"""

from __future__ import annotations

from typing import Final

ERROR_TYPE: Final = "error.type"

GEN_AI_AGENT_NAME: Final = "gen_ai.agent.name"
GEN_AI_CONVERSATION_ID: Final = "gen_ai.conversation.id"
GEN_AI_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_OUTPUT_TYPE: Final = "gen_ai.output.type"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
GEN_AI_TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
GEN_AI_TOOL_NAME: Final = "gen_ai.tool.name"
GEN_AI_TOOL_TYPE: Final = "gen_ai.tool.type"
GEN_AI_CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"

MESSAGING_DESTINATION_NAME: Final = "messaging.destination.name"
MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
MESSAGING_OPERATION_NAME: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGING_SYSTEM: Final = "messaging.system"

OFFHOOK_APPROVAL_APPROVED: Final = "offhook.approval.approved"
OFFHOOK_APPROVAL_BY: Final = "offhook.approval.by"
OFFHOOK_BARGE_IN_HEARD_MS: Final = "offhook.barge_in.heard_ms"
OFFHOOK_CALL_OUTBOUND: Final = "offhook.call.outbound"
OFFHOOK_CALL_OUTCOME: Final = "offhook.call.outcome"
OFFHOOK_CALL_ROUTE: Final = "offhook.call.route"
OFFHOOK_CALL_SECOND_LINE_OF: Final = "offhook.call.second_line_of"
OFFHOOK_CALL_SIP_CALL_ID: Final = "offhook.call.sip_call_id"
OFFHOOK_INPUT_AUDIO_TOKENS: Final = "offhook.usage.input_audio_tokens"
OFFHOOK_OUTPUT_AUDIO_TOKENS: Final = "offhook.usage.output_audio_tokens"
OFFHOOK_RESPONSE_PURPOSE: Final = "offhook.response.purpose"
OFFHOOK_TOOL_FILLERS: Final = "offhook.tool.fillers"
OFFHOOK_TOOL_MODE: Final = "offhook.tool.mode"
OFFHOOK_TOOL_RUN_MS: Final = "offhook.tool.run_ms"
OFFHOOK_TOOL_STATUS: Final = "offhook.tool.status"
OFFHOOK_TOOL_WAIT_MS: Final = "offhook.tool.wait_ms"
OFFHOOK_TRANSFER_MEANS: Final = "offhook.transfer.means"
OFFHOOK_TRANSFER_OUTCOME: Final = "offhook.transfer.outcome"
OFFHOOK_TRANSFER_SIP_STATUS: Final = "offhook.transfer.sip_status"
OFFHOOK_TURN_WHO: Final = "offhook.turn.who"

FIRST_AUDIO: Final = "first_audio"
"""A span's event: the first piece of a response's audio came."""

TRACEPARENT: Final = "traceparent"
"""Key of a job's payload, header of a webhook, and key of an MCP request's `_meta`."""
