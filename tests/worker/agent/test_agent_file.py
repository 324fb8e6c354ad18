from pathlib import Path

import pytest

from worker.agent.agent_file import DEFAULT_AGENT, load_agent_file
from worker.errors import AgentFileError


@pytest.fixture
def write(tmp_path: Path):
    def _write(text: str) -> Path:
        path = tmp_path / "agent.toml"
        path.write_text(text, "utf-8")
        return path

    return _write


def complaint(path: Path) -> str:
    with pytest.raises(AgentFileError) as caught:
        load_agent_file(path)
    assert caught.value.exit_code == 2
    (line,) = caught.value.lines
    prefix = f"{path}: "
    assert line.startswith(prefix)
    return line.removeprefix(prefix)


def test_the_shipped_agent_is_valid_and_may_hang_up() -> None:
    found = load_agent_file()
    assert found.path == DEFAULT_AGENT
    assert found.default.greeting and "end_call" in found.default.instructions
    assert found.default.tools.end_call and found.tool_modules() == ("tools.builtin",)
    assert found.agent_for("anything") is found.default


def test_a_route_overrides_only_the_keys_it_names(write) -> None:
    found = load_agent_file(
        write(
            """
            greeting = "Hello."
            language = "en"
            [fillers]
            grace_ms = 400
            texts = ["One moment."]
            [[route]]
            dialled = "support"
            greeting = "Support."
            fillers.grace_ms = 900
            """
        )
    )
    support = found.agent_for("support")
    assert support.greeting == "Support." and support.language == "en"
    assert support.fillers.grace_ms == 900 and support.fillers.texts == ("One moment.",)
    assert found.agent_for("sales").greeting == "Hello." and found.agent_for("sales").fillers.grace_ms == 400


def test_an_exact_route_comes_before_a_pattern_and_patterns_in_order(write) -> None:
    found = load_agent_file(
        write(
            """
            name = "main"
            [[route]]
            dialled = "+49*"
            name = "german"
            [[route]]
            dialled = "+4930*"
            name = "berlin"
            [[route]]
            dialled = "+4930123"
            name = "exact"
            """
        )
    )
    names = [found.agent_for(number).name for number in ("+4930123", "+49301", "+4989", "+1")]
    assert names == ["exact", "german", "german", "main"]


def test_tool_files_are_relative_to_the_agent_file(write, tmp_path: Path) -> None:
    found = load_agent_file(write('[tools]\nmodules = ["shop.tools:order", "mine.py", "sub/other.py:look"]'))
    assert found.tool_modules() == (
        "shop.tools:order",
        str(tmp_path / "mine.py"),
        str(tmp_path / "sub" / "other.py") + ":look",
    )


def test_a_tool_worker_gets_the_tools_of_all_routes_once(write) -> None:
    found = load_agent_file(
        write('[tools]\nmodules = ["a", "b"]\n[[route]]\ndialled = "1"\ntools.modules = ["b", "c"]')
    )
    assert found.tool_modules() == ("a", "b", "c")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('greting = "hi"', "greting: there is no such key; did you mean greeting?"),
        ("[filler]\ngrace_ms = 1", "filler: there is no such key; did you mean fillers?"),
        ("[fillers]\ngrace = 1", "fillers.grace: there is no such key; did you mean grace_ms?"),
        ("[tools]\nzzz = 1", "tools.zzz: there is no such key; allowed are: modules, exposure, "),
        ("[[rout]]\ndialled = '1'", "rout: there is no such key; did you mean route?"),
        ('[[route]]\ndialled = "1"\nvoise = "x"', "route[1].voise: there is no such key; did you mean voice?"),
        ('[[route]]\ndialed = "1"', "route[1].dialled: is missing (there is 'dialed'); write dialled = "),
        ("[fillers]\ngrace_ms = -1", "fillers.grace_ms: input should be greater than or equal to 0, not -1"),
        ("[fillers]\ntexts = []", "fillers.texts: needs at least one text, and none empty, not []"),
        ('[fillers]\ntexts = ["{time}"]', "fillers.texts: there is no {time}: a text may have {about} in it, not"),
        ("[tools.max_runs_of]\npay = -1", "tools.max_runs_of.pay: input should be greater than or equal to 0"),
        ('[later]\nways = ["fax"]', "later.ways[1]: input should be 'call_back' or 'send', not 'fax'"),
        ('[later.words]\nbath = "x"', "later.words: there is no bath: allowed are both, call_back, send"),
        ('[later.words_by_language.de]\nbath = "x"', "later.words_by_language: there is no bath"),
        ("[later]\noffer_afer = 3", "later.offer_afer: there is no such key; did you mean offer_after?"),
        ("greeting = 5", "greeting: input should be a valid string, not 5"),
        ('[tools]\nexposure = "all"', "tools.exposure: input should be 'direct', 'registry' or 'auto', not 'all'"),
        ('language = "English!"', "language: string should match pattern"),
        ("route = 5", "route: write each route as a table of its own, [[route]]"),
        ("greeting = ", "is not TOML: "),
        ('[[transfer]]\nlabel = "a"\nuri = "200"', "transfer[1].uri: is no SIP URI: write sip:USER@HOST"),
        ('[[transfer]]\nuri = "sip:a@b"', "transfer[1].label: field required"),
        ('[[transfer]]\nlabel = ""\nuri = "sip:a@b"', "transfer[1].label: string should have at least 1 character"),
        ('[[transfer]]\nlabel = "a"\nuri = "sip:a@b"\ncaller = ["1"]', "transfer[1].caller: there is no such key; did"),
        ('[[transfer]]\nlabel = "a"\nuri = "sip:a@b"\nways = []', "transfer[1].ways: tuple should have at least 1"),
        (
            '[[transfer]]\nlabel = "a"\nuri = "sip:a@b"\nbriefing = "A call."',
            "transfer[1].briefing: needs {summary} in it",
        ),
        ('[transfer]\nlabel = "a"', "transfer: write each target as a table of its own, [[transfer]]"),
        (
            '[[transfer]]\nlabel = "a"\nuri = "sip:a@b"\n[[transfer]]\nlabel = "A"\nuri = "sip:c@d"',
            "transfer: there are two targets with the label 'A': each needs its own",
        ),
        ('[[route]]\ndialled = "1"\n[[route.transfer]]\nlabel = "a"', "route[1].transfer[1].uri: field required"),
        ('[[route]]\ndialled = "1"\n[[route]]\ndialled = "1"', "route[2].dialled: '1' has a route already"),
    ],
)
def test_a_mistake_is_one_line_with_file_key_and_remedy(write, text: str, expected: str) -> None:
    assert complaint(write(text)).startswith(expected)


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    assert complaint(tmp_path / "none.toml") == "No such file or directory"
    (tmp_path / "latin.toml").write_bytes(b'greeting = "Gr\xfcezi"')
    assert complaint(tmp_path / "latin.toml") == "is not UTF-8 text"


def test_several_mistakes_are_told_at_once(write) -> None:
    with pytest.raises(AgentFileError) as caught:
        load_agent_file(write("greting = 1\nvoise = 2"))
    assert len(caught.value.lines) == 2


def test_files_are_taken_beside_the_agent_file(write) -> None:
    path = write('[tools]\nhook = "shop.py:tools_for"\n[fillers.wav]\n"One moment." = "sounds/moment.wav"')
    agent = load_agent_file(path).default
    assert agent.tools.hook == f"{path.parent / 'shop.py'}:tools_for"
    assert agent.fillers.wav == {"One moment.": str(path.parent / "sounds" / "moment.wav")}


@pytest.mark.parametrize(
    "dialled, name",
    [
        ("+15550100", "exact"),
        ("+1-555-0100", "exact"),
        ("+15550142", "pattern"),
        ("sales", "sales"),
        ("Sales", "agent"),
    ],
)
def test_numbers_in_routes_compare_without_separators(write, dialled: str, name: str) -> None:
    file = load_agent_file(
        write(
            '[[route]]\ndialled = "+1 (555) 0100"\nname = "exact"\n'
            '[[route]]\ndialled = "+1-555-01*"\nname = "pattern"\n[[route]]\ndialled = "sales"\nname = "sales"'
        )
    )
    assert file.agent_for(dialled).name == name


def test_a_number_has_one_route_however_it_is_written(write) -> None:
    with pytest.raises(AgentFileError, match="has a route already"):
        load_agent_file(write('[[route]]\ndialled = "555-0100"\n[[route]]\ndialled = "5550100"'))


def test_a_route_has_the_targets_of_the_default_or_its_own(write) -> None:
    found = load_agent_file(
        write(
            """
            [[transfer]]
            label = "sales"
            uri = "sip:200@pbx.example.com"
            [[route]]
            dialled = "1"
            [[route]]
            dialled = "2"
            [[route.transfer]]
            label = "boss"
            uri = "sip:1@pbx.example.com"
            callers = ["+49*"]
            ring_seconds = 20
            """
        )
    )
    targets = {number: [one.target for one in found.agent_for(number).transfer] for number in "12"}
    assert [one.label for one in targets["1"]] == ["sales"]
    assert [(one.label, one.callers, one.ring_s) for one in targets["2"]] == [("boss", ("+49*",), 20.0)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[refer]\ntargets = ["sip:2*@pbx"]', "needs sources"),
        ('[refer]\nsources = ["pbx.example"]\ntargets = ["sip:2*@pbx"]', "'pbx.example' is no address"),
        ('[refer]\nsources = ["192.0.2.1"]\ntargets = ["200"]', "'200' is no pattern of SIP URIs"),
        ('[refer]\nsources = ["192.0.2.1"]', "allows nothing"),
    ],
)
def test_a_wrong_list_of_who_may_refer_says_what_to_write(write, text: str, says: str) -> None:
    assert says in complaint(write(text))


def test_nobody_may_refer_by_default() -> None:
    assert load_agent_file().default.refer.rules is None
