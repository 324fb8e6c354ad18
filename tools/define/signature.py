"""What a tool takes, however that is said: by a Python function's signature, or by somebody else's JSON schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from tools.define.digits import Digits
from tools.define.needs import Needs


class Signature(Protocol):
    """Describes a tool's arguments to a model, and checks what the model sends."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON schema of the arguments: an object with `properties` and `required`."""
        ...

    @property
    def context(self) -> str | None:
        """The name of the parameter that takes the `ToolContext`; it is not in the schema."""
        ...

    @property
    def needs(self) -> Mapping[str, Needs]:
        """The parameters that take another tool's result; neither are these."""
        ...

    @property
    def digits(self) -> Mapping[str, Digits]:
        """The parameters that the caller types; nor these."""
        ...

    def bind(self, arguments: str) -> dict[str, Any]:
        """Return keyword arguments for the function from the model's JSON text.

        Raises `InvalidArguments` that names the field and what is wrong. Defaults are left to the function.
        """
        ...

    def bind_values(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return keyword arguments from the model's arguments, read; see `bind`."""
        ...

    def bind_needed(self, parameter: str, value: object) -> Any:
        """Return another tool's result as the parameter wants it. Raises `InvalidArguments` where it doesn't fit."""
        ...

    def canonical(self, data: Mapping[str, Any]) -> str:
        """Return arguments that fit as JSON text, the same for the same arguments."""
        ...
