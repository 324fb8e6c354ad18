"""The evaluation's file: what is wrong is told in one line with the file, the key's path and the nearest key."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.errors import EvalFileError
from worker.eval.eval_file import load_eval_file

ONE = '[[scenario]]\nname = "a"\n'
SAYS = ONE + 'turns = [{ say = "hi" }]\n'


def refused(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "e.toml"
    path.write_text(text)
    with pytest.raises(EvalFileError) as found:
        load_eval_file(path)
    assert found.value.exit_code == 2
    assert all(line.startswith(f"{path}: ") for line in found.value.lines)
    return [line.removeprefix(f"{path}: ") for line in found.value.lines]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x", "is not TOML"),
        ("", "there is no scenario: write each as a table of its own"),
        ("seeed = 3\n" + SAYS, "seeed: there is no such key; did you mean seed?"),
        (ONE, "scenario[1]: needs turns, or a persona with rules"),
        (ONE + 'turns = [{ sy = "hi" }]', "scenario[1].turns[1].sy: there is no such key; did you mean say?"),
        (ONE + "turns = [{ say = 3 }]", "scenario[1].turns[1].say: is a text, or a list of texts, not 3"),
        (
            ONE + 'turns = [{ say = "hi", keys = "1" }]',
            "scenario[1].turns[1]: say, keys and hang_up exclude each other",
        ),
        (ONE + 'turns = [{ say = "hi", at_once = true, interrupt_at = 1 }]', "scenario[1].turns[1]: wait_for, "),
        (ONE + 'turns = [{ keys = "1x" }]', "scenario[1].turns[1].keys: "),
        (ONE + "turns = [{ pause = 1 }]", "scenario[1].turns[1]: needs one of say, keys, hang_up, wait_for"),
        (SAYS + SAYS, "scenario[2] (a): the name is taken already"),
        (SAYS + 'faults = [{ kind = "tool_worker" }]', "scenario[1].faults[1].kind: input should be"),
        (SAYS + "expect = { tols = [] }", "scenario[1].expect.tols: there is no such key; did you mean tools?"),
        (SAYS + 'expect = { said = [{ text = "(" }] }', "scenario[1].expect.said[1].text: is no regular expression"),
        (SAYS + 'expect = { outcome = "fine" }', "scenario[1].expect.outcome: input should be"),
        (SAYS + 'expect = { heard = ["a"] }', "scenario[1] (a): wait_for, heard and a persona need [ears]"),
        (SAYS + 'expect = { judged = ["It is polite."] }', "scenario[1] (a): who and judged are for a text model"),
        ('[model]\nurl = "ftp://h"\nname = "m"\n' + SAYS, "model.url: "),
        ('[model]\nurl = "http://h/v1"\nname = "m"\nkey = "K"\n' + SAYS, "model: url: http is for this machine alone"),
        ('[model]\nurl = "https://h/v1"\nname = "m"\nkey = "sk-1"\n' + SAYS, "model.key: "),
        (SAYS + "interruptions = { chance = 2 }", "scenario[1].interruptions.chance: "),
        ('[ears]\nlines = ["{x}"]\n' + SAYS, "ears: slot 'x' is of an unknown kind 'x'"),
        ('[agent]\nfile = "no.toml"\n' + SAYS, "agent.file: there is no "),
        ('[agent]\nfile = "a"\nuri = "sip:a@b"\n' + SAYS, "agent: file and uri exclude each other"),
        ('[agent]\nuri = "sip:a@b"\n' + SAYS + "expect = { no_errors = true }", "scenario[1] (a): all but heard is"),
        ('[agent]\nuri = "sip:a@b"\n' + SAYS + 'faults = [{ kind = "redis_away" }]', "scenario[1] (a): faults are for"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    (found,) = refused(tmp_path, text)
    assert found.startswith(line)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EvalFileError, match="nowhere.toml: No such file"):
        load_eval_file(tmp_path / "nowhere.toml")


def test_a_running_workers_calls_have_no_arguments_to_judge(tmp_path: Path) -> None:
    text = f'[agent]\nuri = "sip:a@b"\nrecords = "{tmp_path}"\n' + SAYS
    (found,) = refused(tmp_path, text + 'expect = { tools = [{ name = "t", arguments = { a = 1 } }] }')
    assert found.startswith("scenario[1] (a): arguments stand in no record")


def test_the_agent_file_is_taken_from_the_files_own_folder(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").touch()
    path = tmp_path / "e.toml"
    path.write_text('[agent]\nfile = "agent.toml"\n' + SAYS)
    assert load_eval_file(path).agent.file == tmp_path / "agent.toml"
