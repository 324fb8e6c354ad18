"""A tool's parameters, from its signature: JSON schema for the model, and arguments checked against it.

pydantic does both. The schema has `additionalProperties: false`, no titles and no `$ref` (unless it is recursive),
since every token of it is sent in each session.
"""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticUndefined, SchemaError

from tools.define.context import ToolContext
from tools.define.digits import Digits, check_digits
from tools.define.needs import Needs
from tools.define.source import place_of
from tools.errors import InvalidArguments, ToolDefinitionError
from tools.limits import ARGUMENTS_LIMIT

# The model gives an order number as 427 or as "427": both are text where the tool wants text.
_CONFIG = ConfigDict(extra="forbid", coerce_numbers_to_str=True, arbitrary_types_allowed=False)


@dataclass(frozen=True, slots=True)
class FunctionSignature:
    """What a Python function takes: a `Signature`.

    parameters: the JSON schema of the arguments. context: the name of the parameter that takes the `ToolContext`.
    needs: the parameters that take another tool's result. digits: those that the caller types. None of these is in the
    schema.
    """

    parameters: dict[str, Any]
    context: str | None
    needs: Mapping[str, Needs]
    digits: Mapping[str, Digits]
    _model: type[BaseModel]
    _names: Mapping[str, str]  # field of the model -> parameter of the function
    _results: Mapping[str, TypeAdapter[Any]]

    def bind(self, arguments: str) -> dict[str, Any]:
        """Return keyword arguments for the function from the model's JSON text.

        Raises `InvalidArguments` that names the field and what is wrong. Defaults are left to the function.
        """
        return self.bind_values(values_of(arguments))

    def bind_needed(self, parameter: str, value: object) -> Any:
        """Return another tool's result as the parameter wants it. Raises `InvalidArguments` where it doesn't fit."""
        try:
            return self._results[parameter].validate_python(value)
        except ValidationError as error:
            reason = f"{parameter}: the result of {self.needs[parameter].tool} is no {error.title}"
            raise InvalidArguments("The tool that this one needs has answered something else.", reason) from None

    def canonical(self, data: Mapping[str, Any]) -> str:
        """Return arguments that fit as JSON text, the same for the same arguments: 427 and "427" where text is wanted.

        Raises pydantic's ValidationError for others.
        """
        values = self._model.model_validate(data).model_dump(mode="json", exclude_unset=True)
        return json.dumps({self._names[field]: value for field, value in values.items()}, sort_keys=True)

    def bind_values(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return keyword arguments from the model's arguments, read; see `bind`."""
        try:
            model = self._model.model_validate(data)
        except ValidationError as error:
            raise _explained(error, tuple(self._names.values())) from None
        return {self._names[field]: getattr(model, field) for field in model.model_fields_set}


def signature_of(function: Callable[..., Any]) -> FunctionSignature:
    """Read a function's signature.

    Raises `ToolDefinitionError` naming function and parameter where something can't be described to a model.
    """
    where = f"tool {place_of(function)}"
    hints = _hints(function, where)
    fields: dict[str, Any] = {}
    names: dict[str, str] = {}
    schemas: dict[str, Any] = {}
    needs: dict[str, Needs] = {}
    results: dict[str, TypeAdapter[Any]] = {}
    digits: dict[str, Digits] = {}
    context: str | None = None
    for parameter in inspect.signature(function).parameters.values():
        annotation = hints.get(parameter.name, parameter.empty)
        if annotation is ToolContext:
            context = parameter.name
            continue
        _check_kind(parameter, annotation, where)
        if need := _need(annotation):
            needs[parameter.name] = need
            results[parameter.name] = _adapter(annotation, parameter, where)
            continue
        if typed := _typed(annotation, parameter, where):
            digits[parameter.name] = typed
            continue
        annotation = _with_description(annotation)
        schemas[parameter.name] = _schema_of(annotation, parameter, where)
        # Numbered fields with aliases, so that a parameter may have any name, also `schema` or `json`.
        field = f"p{len(fields)}"
        default = ... if parameter.default is parameter.empty else None
        fields[field] = (annotation, Field(default=default, alias=parameter.name))
        names[field] = parameter.name
    model = create_model(function.__name__, __config__=_CONFIG, **fields)
    required = [name for field, name in names.items() if model.model_fields[field].is_required()]
    parameters = {
        "type": "object",
        "properties": schemas,
        "required": required,
        "additionalProperties": False,
    }
    return FunctionSignature(parameters, context, needs, digits, model, names, results)


def nearest(name: str, known: tuple[str, ...] | list[str]) -> str | None:
    """Return the known name that `name` was probably meant to be, or None."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return found[0] if found else None


def _hints(function: Callable[..., Any], where: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ToolDefinitionError(
            f"{where}: the annotation {error.name!r} is not defined: import it, or define it at the top level of the"
            " module, above the tool"
        ) from None
    except TypeError as error:
        raise ToolDefinitionError(f"{where}: an annotation is no type ({error}): annotate with types") from None


def _check_kind(parameter: inspect.Parameter, annotation: object, where: str) -> None:
    name = parameter.name
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        star = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
        raise ToolDefinitionError(
            f"{where}: {star}{name} can't be described to a model: name each parameter, or take one list or dict"
        )
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise ToolDefinitionError(f"{where}: {name} is positional only: take the `/` out of the signature")
    if annotation is parameter.empty:
        raise ToolDefinitionError(f"{where}: {name} has no type: annotate it, such as `{name}: str`")


def _with_description(annotation: Any) -> Any:
    """Take a plain text in Annotated as the parameter's description: Annotated[str, "the order's number"]."""
    if get_origin(annotation) is Annotated:
        inner, *extras = get_args(annotation)
        texts = [extra for extra in extras if isinstance(extra, str)]
        others = [extra for extra in extras if not isinstance(extra, str)]
        if texts:
            return Annotated[(inner, *others, Field(description=" ".join(texts)))]
    return annotation


def _need(annotation: Any) -> Needs | None:
    extras = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((extra for extra in extras if isinstance(extra, Needs)), None)


def _typed(annotation: Any, parameter: inspect.Parameter, where: str) -> Digits | None:
    """Return what the caller types for a parameter; None for one that the model gives."""
    inner, *extras = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    found = next((extra for extra in extras if isinstance(extra, Digits)), None)
    if found is None:
        return None
    if inner is not SecretStr:
        raise ToolDefinitionError(
            f"{where}: {parameter.name} is typed by the caller: annotate it Annotated[SecretStr, Digits(...)], with"
            " pydantic's SecretStr, which no log shows"
        )
    if parameter.default is not parameter.empty:
        raise ToolDefinitionError(
            f"{where}: {parameter.name} is typed by the caller in each call: leave its default out"
        )
    check_digits(f"{where}: {parameter.name}", found)
    return found


def _adapter(annotation: Any, parameter: inspect.Parameter, where: str) -> TypeAdapter[Any]:
    _schema_of(annotation, parameter, where)  # says what is wrong with it
    return TypeAdapter(annotation)


def _schema_of(annotation: Any, parameter: inspect.Parameter, where: str) -> dict[str, Any]:
    try:
        full: dict[str, Any] = TypeAdapter(annotation).json_schema()
    except (PydanticUserError, SchemaError, TypeError, ValueError):
        shown = getattr(annotation, "__name__", None) or str(annotation)
        raise ToolDefinitionError(
            f"{where}: {parameter.name} is a {shown}, which can't be described to a model: take str, int, float, bool,"
            " a date, an Enum, a Literal, a pydantic model, or lists and dicts of these"
        ) from None
    if _has_bytes(full):
        raise ToolDefinitionError(
            f"{where}: {parameter.name} takes bytes, which a model can't send: take str, or pydantic's Base64Bytes"
        )
    _check_default(annotation, parameter, where)
    schema = compact(full)
    schema.pop("default", None)
    if parameter.default not in (parameter.empty, None) and _is_json(parameter.default):
        schema["default"] = parameter.default
    return schema


def _has_bytes(node: Any) -> bool:
    if isinstance(node, list):
        return any(map(_has_bytes, node))
    return isinstance(node, dict) and (node.get("format") == "binary" or any(map(_has_bytes, node.values())))


def _check_default(annotation: Any, parameter: inspect.Parameter, where: str) -> None:
    """Where the model leaves an argument out, the function gets the default as it is: it has to be of the type."""
    if parameter.default in (parameter.empty, None):
        return
    try:
        TypeAdapter(annotation).validate_python(parameter.default, strict=True)
    except ValidationError as error:
        why = error.errors(include_url=False, include_input=False, include_context=False)[0]["msg"]
        raise ToolDefinitionError(
            f"{where}: the default of {parameter.name}, {repr(parameter.default)[:60]}, does not fit its type ({why}):"
            " correct one of them"
        ) from None


def compact(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON schema without titles, its definitions put where they are referred to."""
    found: dict[str, Any] = _slim(_inlined(schema, schema.get("$defs", {}), ()))
    if "$ref" not in json.dumps(found):
        found.pop("$defs", None)
    return found


def _inlined(node: Any, defs: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    """Put definitions where they are referred to; a definition that holds itself stays a `$ref`."""
    if isinstance(node, list):
        return [_inlined(item, defs, inside) for item in node]
    if not isinstance(node, dict):
        return node
    name = str(node.get("$ref", "")).removeprefix("#/$defs/")
    if name in defs and name not in inside:
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return {**_inlined(defs[name], defs, (*inside, name)), **rest}
    return {key: value if key == "$defs" else _inlined(value, defs, inside) for key, value in node.items()}


def _slim(node: Any, names: bool = False) -> Any:
    """Drop pydantic's titles; `names` is true for a dict whose keys are names of fields, not of the schema."""
    if isinstance(node, list):
        return [_slim(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: value for key, value in node.items() if names or key != "title" or not isinstance(value, str)}
    return {key: _slim(value, not names and key in ("properties", "$defs")) for key, value in kept.items()}


def _is_json(value: object) -> bool:
    if value is PydanticUndefined:
        return False
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def values_of(arguments: str, limit: int = ARGUMENTS_LIMIT) -> dict[str, Any]:
    """Read the model's JSON text, which has to be one object. Raises `InvalidArguments` where it isn't."""
    if len(arguments) > limit:
        raise InvalidArguments(
            f"The arguments are too long: {len(arguments)} characters, at most {limit} are taken.",
            "arguments too long",
        )
    if not arguments.strip():
        return {}  # providers send an empty text for a tool without parameters
    try:
        data = json.loads(arguments)
    except (ValueError, RecursionError) as error:
        at = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidArguments(
            f"The arguments are not valid JSON{at}. Send one JSON object.", f"arguments are not JSON{at}"
        ) from None
    if not isinstance(data, dict):
        kind = type(data).__name__
        raise InvalidArguments(f"The arguments have to be a JSON object, not a {kind}.", f"arguments are a {kind}")
    return data


def _explained(error: ValidationError, names: tuple[str, ...]) -> InvalidArguments:
    """Say each fault with its field: missing, unknown (with the nearest one), or of a wrong value."""
    lines, reasons = [], []
    for detail in error.errors(include_url=False, include_input=False, include_context=False)[:5]:
        where = ".".join(str(part) for part in detail["loc"]) or "the arguments"
        if detail["type"] == "missing":
            lines.append(f"the field '{where}' is missing")
        elif detail["type"] == "extra_forbidden":
            near = nearest(where, names)
            known = ", ".join(names) or "none"
            hint = f"did you mean '{near}'?" if near else f"the fields are: {known}"
            lines.append(f"there is no field '{where}' ({hint})")
        else:
            lines.append(f"the field '{where}' is wrong: {detail['msg']}")
        reasons.append(f"{where[:60]}: {detail['type']}")
    return InvalidArguments(f"The arguments do not fit: {'; '.join(lines)}.", "; ".join(reasons))
