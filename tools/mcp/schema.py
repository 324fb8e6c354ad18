"""Arguments by a JSON schema that somebody else has written: what the model is shown of it, and the check against it.

A schema comes over the network. One that is broken, or refers to anything outside itself, makes no tool: nothing is
ever fetched for it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from tools.define.digits import Digits
from tools.define.needs import Needs
from tools.define.schema import compact, nearest, values_of
from tools.errors import InvalidArguments

SCHEMA_LIMIT = 32 * 1024
"""Characters of JSON: every session is told of it."""
DEEPEST = 32
MOST_FAULTS = 5
MESSAGE_CHARS = 200
_NOT_SHOWN = ("$schema", "$id", "$anchor", "oneOf", "anyOf", "allOf", "not", "if", "then", "else", "enum", "const")
"""At the root: of no use to a model, or refused there (OpenAI takes an object without combinations)."""


class BrokenSchema(Exception):
    """A schema that no argument can be checked against; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class JsonSignature:
    """A `Signature` by a JSON schema. Its function takes `arguments` (the object) and `context`."""

    parameters: dict[str, Any]
    context: str | None = "context"
    needs: Mapping[str, Needs] = field(default_factory=dict)
    digits: Mapping[str, Digits] = field(default_factory=dict)
    _validator: Any = field(default=None, repr=False)

    def bind(self, arguments: str) -> dict[str, Any]:
        """Return {"arguments": ...} from the model's JSON text. Raises `InvalidArguments`."""
        return self.bind_values(values_of(arguments))

    def bind_values(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return {"arguments": ...} from the model's arguments, read. Raises `InvalidArguments`."""
        values = self._fitted(data)
        faults = []
        try:
            for fault in self._validator.iter_errors(values):
                faults.append(fault)
                if len(faults) >= MOST_FAULTS:
                    break
        except (Unresolvable, RecursionError) as error:
            raise InvalidArguments("The arguments can't be checked.", type(error).__name__) from None
        if faults:
            raise self._explained(faults)
        return {"arguments": values}

    def bind_needed(self, parameter: str, value: object) -> Any:
        """Return nothing: somebody else's tool takes no results of ours."""
        raise InvalidArguments("This takes no other tool's result.", f"{parameter} is no parameter")

    def canonical(self, data: Mapping[str, Any]) -> str:
        """Return arguments that fit as JSON text, the same for the same arguments."""
        return json.dumps(self._fitted(data), sort_keys=True)

    def _fitted(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """A model gives a number as 427 or as "427": what the schema wants of a field's own type is what it meant."""
        properties = self.parameters["properties"]
        return {name: _meant(value, properties.get(name)) for name, value in data.items()}

    def _explained(self, faults: list[ValidationError]) -> InvalidArguments:
        lines, reasons = [], []
        for fault in faults:
            where = ".".join(str(part) for part in fault.absolute_path) or "the arguments"
            lines.append(_line(fault, where, list(self.parameters["properties"])))
            reasons.append(f"{where[:60]}: {fault.validator}")
        return InvalidArguments(f"The arguments do not fit: {'; '.join(lines)}.", "; ".join(reasons))


def json_signature(schema: Mapping[str, Any]) -> JsonSignature:
    """Return the signature of a tool by its schema. Raises `BrokenSchema`."""
    try:
        size = len(json.dumps(schema, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise BrokenSchema("is no JSON") from None
    if size > SCHEMA_LIMIT:
        raise BrokenSchema(f"has {size} characters, more than {SCHEMA_LIMIT}")
    whole = {"type": "object", **schema}
    if whole["type"] != "object":
        raise BrokenSchema("does not describe an object")
    kind = validator_for(whole, default=Draft202012Validator)
    try:
        _check_depth(whole)
        kind.check_schema(whole)
        _check_references(whole)
    except SchemaError as error:
        where = "/".join(str(part) for part in error.absolute_path)
        raise BrokenSchema(f"is wrong at {where[:100] or 'its root'} ({error.validator})") from None
    except RecursionError:
        raise BrokenSchema("is nested too deep") from None
    shown = {key: value for key, value in compact(whole).items() if key not in _NOT_SHOWN}
    shown.setdefault("properties", {})
    shown.setdefault("required", [])
    return JsonSignature(shown, _validator=kind(whole, registry=Registry()))


def _check_depth(node: object, depth: int = 0) -> None:
    if depth > DEEPEST:
        raise BrokenSchema(f"is nested deeper than {DEEPEST} levels")
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        _check_depth(child, depth + 1)


def _check_references(schema: dict[str, Any]) -> None:
    registry: Registry[Any] = Registry().with_resource("", DRAFT202012.create_resource(schema))
    resolver = registry.resolver()
    for reference in _references(schema):
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise BrokenSchema("refers to something outside itself")
        try:
            resolver.lookup(reference)
        except Unresolvable:
            raise BrokenSchema(f"refers to {reference[:60]}, which it hasn't") from None


def _references(node: object) -> Iterator[object]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("$ref", "$dynamicRef") and not isinstance(value, dict):
                yield value
            yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)


def _meant(value: Any, schema: Any) -> Any:
    kind = schema.get("type") if isinstance(schema, dict) else None
    if kind == "string" and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if kind in ("integer", "number") and isinstance(value, str):
        try:
            number = int(value) if kind == "integer" else float(value)
        except ValueError:
            return value
        return number if math.isfinite(number) else value
    return value


def _line(fault: ValidationError, where: str, names: list[str]) -> str:
    missing = [name for name in _required(fault) if isinstance(fault.instance, dict) and name not in fault.instance]
    inside = "" if where == "the arguments" else f" in '{where}'"
    if missing:
        return f"the field '{missing[0]}' is missing{inside}"
    if fault.validator == "additionalProperties" and isinstance(fault.instance, dict):
        known = list(fault.schema.get("properties", {})) if isinstance(fault.schema, dict) else names
        strange = next((str(name) for name in fault.instance if name not in known), "")[:64]
        near = nearest(strange, known)
        hint = f"did you mean '{near}'?" if near else f"the fields are: {', '.join(known) or 'none'}"
        return f"there is no field '{strange}'{inside} ({hint})"
    return f"{'the arguments are' if not inside else f'the field {where!r} is'} wrong: {fault.message[:MESSAGE_CHARS]}"


def _required(fault: ValidationError) -> list[str]:
    return list(fault.validator_value) if fault.validator == "required" else []
