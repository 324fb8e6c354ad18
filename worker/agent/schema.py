"""The JSON schema of the agent file, for editors: `agent.schema.json` beside this file is what this makes."""

from __future__ import annotations

import json
from typing import Any

from worker.agent.agent import Agent
from worker.agent.routes import When

__all__ = ["agent_schema", "schema_text"]

DIALECT = "http://json-schema.org/draft-07/schema#"
"""Of what pydantic writes nothing is newer than that, and editors' TOML plug-ins know it."""
REFERENCE = "#/definitions/{model}"


def agent_schema() -> dict[str, Any]:
    """Return the schema: the agent's keys, and `route`, whose tables have them too, beside their conditions."""
    agent = Agent.model_json_schema(ref_template=REFERENCE)
    when = When.model_json_schema(ref_template=REFERENCE)
    definitions = {**agent.pop("$defs", {}), **when.pop("$defs", {})}
    definitions["Route"] = {
        "type": "object",
        "title": "Route",
        "description": "An agent for some calls: these conditions, and the keys that stand in place of the default's.",
        "properties": {**when["properties"], **agent["properties"]},
        "anyOf": [{"required": [name]} for name in when["properties"]],
        "additionalProperties": False,
    }
    routes = {"type": "array", "title": "Route", "items": {"$ref": REFERENCE.format(model="Route")}}
    own = {"description": "agents for some calls, the first that fits", "default": [], **routes}
    return {
        "$schema": DIALECT,
        **agent,
        "title": "An agent of offhook",
        "properties": {**agent["properties"], "route": own},
        "definitions": dict(sorted(definitions.items())),
    }


def schema_text() -> str:
    """Return it as it is printed and kept in the file."""
    return json.dumps(agent_schema(), indent=2, ensure_ascii=False) + "\n"
