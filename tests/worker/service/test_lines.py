from __future__ import annotations

from typing import Any, cast

from telephony.endpoint import Endpoint
from telephony.transfer import SECOND_LINE
from worker.service.lines import CallLines


async def test_a_second_line_goes_out_by_the_calls_account_or_the_targets() -> None:
    asked: list[dict[str, Any]] = []

    async def dial(uri: str, make: Any, headers: Any, **by: Any) -> Any:
        asked.append({"uri": uri, "headers": headers, **by})

    lines = CallLines("c1", cast(Endpoint, None), dial, lambda line: None, True, "berlin")
    await lines.dial("sip:2@h", lambda *given: None)
    await lines.dial("sip:2@h", lambda *given: None, "munich")
    assert [(one["account"], one["made_for"]) for one in asked] == [(None, "berlin"), ("munich", "berlin")]
    assert asked[0]["headers"] == {SECOND_LINE: "c1"}
