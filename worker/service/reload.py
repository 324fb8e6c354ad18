"""Reads the agent file and the tools again when their files change: for whoever writes them (`offhook serve --reload`).

Calls that begin afterwards have what was read; those in progress keep what they began with. What can't be read leaves
all as it was, with a line in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import structlog

from worker.agent.agent_file import load_agent_file
from worker.call_tools.reference import load_function
from worker.service.checks.look import load
from worker.service.loaded import Loaded
from worker.settings.settings import Settings

__all__ = ["Reloader", "Watched", "files_of", "forgotten", "modules_of"]

log = structlog.get_logger(__name__)

LOOK_S = 0.5
OURS = ("worker", "telephony", "tools")
Stamps = dict[Path, tuple[int, int] | None]


class Watched:
    """Files as they stand when this is made. Reads the disk: not for the event loop's thread."""

    def __init__(self, files: Iterable[Path]) -> None:
        """Look at the files; one that is not there may come."""
        self._stamps: Stamps = {path: _stamp(path) for path in files}

    def changed(self) -> list[Path]:
        """Return those that are others now."""
        return [path for path, stamp in self._stamps.items() if _stamp(path) != stamp]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def modules_of(loaded: Loaded) -> dict[str, ModuleType]:
    """Return the modules of the tools, and what lies beside them or the agent file and was imported: by name.

    Neither ours nor installed ones.
    """
    of_tools = {spec.function.__module__ for spec in loaded.specs()}
    files = {name: _file_of(module) for name, module in list(sys.modules.items())}
    folders = {loaded.agents.path.resolve().parent}
    folders |= {file.parent for name in of_tools if (file := files.get(name)) is not None and _is_theirs(name, file)}
    return {
        name: sys.modules[name]
        for name, file in files.items()
        if file is not None and _is_theirs(name, file) and (name in of_tools or folders.intersection(file.parents))
    }


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if isinstance(file, str) and file.endswith(".py") else None


def _is_theirs(name: str, file: Path) -> bool:
    installed = any(part in ("site-packages", "dist-packages") for part in file.parts)
    return not installed and name != "__main__" and name.partition(".")[0] not in OURS and not _is_pythons(file)


def _is_pythons(file: Path) -> bool:
    return file.is_relative_to(Path(importlib.__file__).resolve().parents[1])


def files_of(loaded: Loaded) -> set[Path]:
    """Return all files that agents are made of: the agent file, sounds, tools, hooks, and what these import beside."""
    found = {loaded.agents.path.resolve()}
    for agent in loaded.agents.agents():
        found |= {Path(wav) for wav in agent.fillers.wav.values()}
        hook = (agent.tools.hook or "").rpartition(":")[0]
        if hook.endswith(".py"):
            found.add(Path(hook))
    return found | {file for module in modules_of(loaded).values() if (file := _file_of(module)) is not None}


@contextlib.contextmanager
def forgotten(modules: Mapping[str, ModuleType]) -> Iterator[None]:
    """Import these modules anew within; where that fails, the old ones are back afterwards."""
    for name, module in modules.items():
        sys.modules.pop(name, None)
        with contextlib.suppress(OSError, NotImplementedError, TypeError):
            # Python tells bytecode's age by the second: a file that was saved twice in one would be taken for the old.
            Path(importlib.util.cache_from_source(str(module.__file__))).unlink()
    importlib.invalidate_caches()
    load_function.cache_clear()
    try:
        yield
    except BaseException:
        sys.modules.update(modules)
        raise


class Reloader:
    """Looks at the files twice a second. Belongs to one event loop."""

    def __init__(self, settings: Settings, loaded: Loaded, use: Callable[[Loaded], Awaitable[None]]) -> None:
        """use: takes what was read, for the calls to come; raises where it can't."""
        self._settings = settings
        self._loaded = loaded
        self._use = use
        self._watched = Watched(files_of(loaded))

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> bool:
        """Look once; returns whether something new was taken."""
        changed = await asyncio.to_thread(self._watched.changed)
        if not changed:
            return False
        names = sorted(path.name for path in changed)
        # At once: what can't be read is tried again when it has changed, and not before.
        self._watched = await asyncio.to_thread(Watched, files_of(self._loaded) | set(changed))
        try:
            loaded = await asyncio.to_thread(self._read)
            await self._use(loaded)
        except Exception as error:
            log.error("not_reloaded", changed=names, reason=str(error), kept="what was read before")
            return False
        self._loaded = loaded
        self._watched = await asyncio.to_thread(Watched, files_of(loaded))
        log.info("reloaded", changed=names, tools=[spec.name for spec in loaded.specs()])
        return True

    def _read(self) -> Loaded:
        with forgotten(modules_of(self._loaded)):
            return load(self._settings, load_agent_file(self._settings.agent))
