from __future__ import annotations

from worker.scene.script import Line, Script


def test_tones_that_follow_each_other_are_one_line() -> None:
    script = Script()
    for at in (1.0, 1.02, 4.0):
        script.tone(at)
    script.add(Line(5.0, "filler", "One moment."))
    script.tone(7.0)
    assert str(script).splitlines() == [
        "   1.00  tone    (soft tone) - 4.0",
        "   5.00  filler  One moment.",
        "   7.00  tone    (soft tone) - 7.0",
    ]


def test_a_line_knows_that_it_was_cut_and_what_a_tool_said() -> None:
    assert Line(0.0, "agent", "It arrives…").cut and not Line(0.0, "agent", "It arrives.").cut
    assert Line(0.0, "told", "", output='{"a": 1}').value == {"a": 1}
    assert len(str(Line(0.0, "told", "x" * 1000))) < 200
