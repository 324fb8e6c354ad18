"""What one tool needs of another: a parameter that takes the other's result, and the chain that comes of it.

    @tool(mode="queued")
    def arrival(order: str, status: Annotated[dict, Needs("order_status")]) -> dict: ...

The model calls `arrival(order="427")`; `order_status(order="427")` runs first, and its result goes into `status`
without the model in between. The rules:

- The needed tool gets those arguments of the needing one that have the names of its parameters. Where the names differ,
  say so: `Needs("order_status", order="number")` gives its `order` what the model sent as `number`.
- Each tool of a chain runs at most once for a tool call, also where two others need it with the same arguments.
- The result arrives as the object that the model would have seen: {"result": value} where the tool returned no object.
- Where a needed tool fails, those that need it don't run, and the model gets its words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, init=False)
class Needs:
    """In Annotated: this parameter is the result of the tool `tool`; the model doesn't see it.

    given: parameter of the needed tool -> parameter of this one, where their names differ.
    """

    tool: str
    given: Mapping[str, str]

    def __init__(self, tool: str, /, **given: str) -> None:
        """Take the needed tool's name, and its parameters that are called otherwise here."""
        object.__setattr__(self, "tool", tool)
        object.__setattr__(self, "given", given)
