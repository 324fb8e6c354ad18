"""Tools by reference: a package, a module, one function of a module, or a Python file.

tools.builtin            every tool of a package, its modules included
myshop.tools             every tool that a module defines
myshop.tools:refund      one tool
path/to/tools.py         every tool of a file; also path/to/tools.py:refund
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from tools.define.schema import nearest
from tools.define.source import FILE_MODULE, module_place
from tools.define.spec import ATTRIBUTE, ToolSpec
from tools.errors import ToolDefinitionError


def load_tools(references: Iterable[str]) -> list[ToolSpec]:
    """Import what `references` name and return its tools, each once, in order.

    Raises `ToolDefinitionError` naming the reference and how to mend it: nothing to import, an import that fails, no
    tool in it, or two different tools of one name.
    """
    found: dict[str, ToolSpec] = {}
    for reference in references:
        for spec in _load(reference):
            other = found.setdefault(spec.name, spec)
            if other is not spec and other.source != spec.source:
                raise ToolDefinitionError(
                    f"two tools are called {spec.name}: {other.source} and {spec.source};"
                    f' rename one of them with @tool(name="...")'
                )
    return list(found.values())


def _load(reference: str) -> list[ToolSpec]:
    target, name = _split(reference)
    module = _from_file(target, reference) if _is_file(target) else _from_name(target, reference)
    if name:
        return [_named(module, name, reference)]
    specs = [spec for part in _parts(module, reference) for spec in _tools_of(part)]
    if not specs:
        raise ToolDefinitionError(
            f"tools {reference!r}: there is no tool in it: put @tool (from tools import tool) above a function"
        )
    return specs


def _split(reference: str) -> tuple[str, str]:
    target, colon, name = reference.strip().rpartition(":")
    if colon and name.isidentifier():
        return target, name
    return reference.strip(), ""


def _is_file(target: str) -> bool:
    return target.endswith(".py") or "/" in target or "\\" in target


def _from_file(target: str, reference: str) -> ModuleType:
    path = Path(target).expanduser().resolve()
    if not path.is_file():
        raise ToolDefinitionError(f"tools {reference!r}: there is no file {path}: give the path of a Python file")
    name = f"{FILE_MODULE}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ToolDefinitionError(f"tools {reference!r}: {path} is no Python file: its name has to end in .py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        raise _failed(reference, error) from error
    return module


def _from_name(target: str, reference: str) -> ModuleType:
    if not all(part.isidentifier() for part in target.split(".")):
        raise ToolDefinitionError(
            f"tools {reference!r}: this is no reference to tools: write package.module, package.module:function,"
            " or the path of a Python file"
        )
    try:
        return importlib.import_module(target)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{target}.".startswith(f"{error.name}."):
            raise _failed(reference, error) from error  # something that the module itself imports
        beside = Path(*target.split(".")).with_suffix(".py")
        hint = f"give the file's path, ./{beside}" if beside.is_file() else "install it, or give a file's path"
        raise ToolDefinitionError(f"tools {reference!r}: there is no module {error.name}: {hint}") from None
    except BaseException as error:
        raise _failed(reference, error) from error


def _failed(reference: str, error: BaseException) -> BaseException:
    """An import may raise anything; a tool's own wrong definition says already what to mend."""
    if isinstance(error, KeyboardInterrupt | ToolDefinitionError):
        return error
    return ToolDefinitionError(
        f"tools {reference!r}: importing it raised {type(error).__name__}: {error}; mend the module so that it can be"
        " imported"
    )


def _parts(module: ModuleType, reference: str) -> list[ModuleType]:
    """Return the module, and a package's modules with it."""
    if not hasattr(module, "__path__"):
        return [module]
    names = sorted(info.name for info in pkgutil.iter_modules(module.__path__, f"{module.__name__}."))
    return [module, *(_from_name(name, reference) for name in names)]


def _tools_of(module: ModuleType) -> list[ToolSpec]:
    """The tools that a module defines, in order; those that it only imports belong to another one."""
    exported = getattr(module, "__all__", ())
    specs = []
    for name, value in vars(module).items():
        spec = getattr(value, ATTRIBUTE, None)
        if isinstance(spec, ToolSpec) and (spec.function.__module__ == module.__name__ or name in exported):
            specs.append(spec)
    return specs


def _named(module: ModuleType, name: str, reference: str) -> ToolSpec:
    value = getattr(module, name, None)
    spec = getattr(value, ATTRIBUTE, None)
    if isinstance(spec, ToolSpec):
        return spec
    if value is not None:
        raise ToolDefinitionError(
            f"tools {reference!r}: {name} is no tool: put @tool (from tools import tool) above it"
        )
    names = [key for key, found in vars(module).items() if isinstance(getattr(found, ATTRIBUTE, None), ToolSpec)]
    near = nearest(name, names)
    hint = f"did you mean {near}?" if near else f"its tools are: {', '.join(names) or 'none'}"
    raise ToolDefinitionError(f"tools {reference!r}: there is no {name} in {module_place(module.__name__)}; {hint}")
