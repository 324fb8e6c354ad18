"""All that is known of one call: its record, its journal, and what can be told from them."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, Field

from worker.records.edges import JournalFile
from worker.records.line_quality import LineQuality, line_quality
from worker.records.record import CallRecord
from worker.records.silence_reasons import Silence, silences

__all__ = ["Story", "fullest", "story_of"]

VERSION = 1


class Story(BaseModel):
    """One call, live or past: what its page shows, and `offhook call --json` prints."""

    version: int = VERSION
    call_id: str
    worker: str = Field(default="", description="who told it, where that is another worker than was asked")
    live: bool = False
    record: CallRecord | None = Field(default=None, description="None: there is none that can be read")
    journal: JournalFile | None = Field(default=None, description="None: there is none that can be read")
    silences: list[Silence] = []
    quality: LineQuality | None = None
    recorded: bool = Field(default=False, description="a recording is there")
    problems: list[str] = Field(default=[], description="what could not be read, and why")

    @property
    def whole(self) -> bool:
        """Whether nobody can know more: it is its own worker's, or has the journal.

        Of a call in progress others that share the folder know a file, and no more.
        """
        return self.live or self.journal is not None

    @property
    def end_ms(self) -> int:
        """How far the call reaches, in ms since the answer."""
        ends = [0]
        if self.record is not None:
            ends += [self.record.duration_ms, *(turn.end_ms for turn in self.record.turns)]
        if self.journal is not None and (self.live or self.record is None):
            ends.append(self.journal.end_ms)
        return max(ends)


def fullest(stories: Iterable[Story]) -> Story | None:
    """Return the one that knows most, the first of several such; None of none."""
    return max(
        stories, key=lambda story: (story.live, story.journal is not None, story.record is not None), default=None
    )


def story_of(
    call_id: str,
    record: CallRecord | None,
    journal: JournalFile | None,
    *,
    live: bool = False,
    recorded: bool = False,
    problems: list[str] | None = None,
) -> Story:
    """Put a story together: silences and the line's quality are reckoned from the journal's edges."""
    story = Story.model_construct(
        version=VERSION, call_id=call_id, live=live, record=record, journal=journal, recorded=recorded
    )
    story.problems = problems or []
    edges = journal.edges if journal is not None else []
    story.silences = silences(edges, story.end_ms)
    story.quality = line_quality(edges)
    return story
