"""Routes by what an INVITE says beside the number that was dialled."""

from __future__ import annotations

from pathlib import Path

import pytest

from telephony.sip.facts import InviteFacts
from worker.agent.agent_file import load_agent_file
from worker.errors import AgentFileError

FILE = """
name = "main"
[[route]]
dialled = "+4930*"
caller = "+43*"
name = "austrian"
[[route]]
dialled = "+4930*"
name = "berlin"
[[route]]
diverted_from = "+49 (30) 555"
name = "desk"
[[route]]
dialled = "+49301"
headers = { X-Tenant = "seven*" }
name = "seven"
[[route]]
headers = { X-Tenant = "*" }
caller = "anonymous"
name = "hidden"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.toml"


@pytest.mark.parametrize(
    ("dialled", "caller", "facts", "name"),
    [
        ("+49302", "+431", InviteFacts(), "austrian"),
        ("+49302", "+331", InviteFacts(), "berlin"),
        ("0800", "", InviteFacts(diverted_from=("1", "+4930-555")), "desk"),
        ("+49301", "+431", InviteFacts(headers={"x-tenant": "seven-up"}), "seven"),  # the very number comes first
        ("+49301", "+431", InviteFacts(headers={"x-tenant": "eight"}), "austrian"),
        ("0800", "anonymous", InviteFacts(headers={"x-tenant": ""}), "hidden"),
        ("0800", "+1", InviteFacts(headers={"x-tenant": "seven"}), "main"),
    ],
)
def test_a_call_gets_the_agent_of_the_route_that_it_meets(
    path: Path, dialled: str, caller: str, facts: InviteFacts, name: str
) -> None:
    path.write_text(FILE)
    assert load_agent_file(path).agent_for(dialled, caller, facts).name == name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[route]]\ncaller = ""\nname = "x"', "route[1].caller: "),
        ("[[route]]\nheaders = 7", "route[1].headers: "),
        (
            '[[route]]\ndialled = "1"\ncaller = "+1 2"\n[[route]]\ndialled = "1"\ncaller = "+12"',
            "route[2].dialled: '1' has a route already",
        ),
        ('tell = ["calller"]', "there is no calller: allowed are caller, dialled"),
    ],
)
def test_a_wrong_condition_is_one_line(path: Path, text: str, words: str) -> None:
    path.write_text(text)
    with pytest.raises(AgentFileError) as found:
        load_agent_file(path)
    assert words in str(found.value) and "\n" not in str(found.value)


def test_by_account(path: Path) -> None:
    path.write_text(
        'name = "main"\n[[route]]\naccount = "berlin"\nname = "one"\n[[route]]\naccount = "munich"\nname = "two"\n'
    )
    agents = load_agent_file(path)
    for account, name in (("berlin", "one"), ("munich", "two"), ("", "main")):
        assert agents.agent_for("1", "2", InviteFacts(account=account)).name == name
    path.write_text('[[route]]\naccount = "berlin"\n[[route]]\naccount = "berlin"\n')
    with pytest.raises(AgentFileError, match="has a route already"):
        load_agent_file(path)
