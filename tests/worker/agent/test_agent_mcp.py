"""The `[[mcp]]` tables of an agent file, and one line for each thing that is wrong in them."""

import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from tools.errors import ToolDefinitionError
from tools.mcp.server import McpTool, check_servers
from worker.agent.agent_file import AgentFile, load_agent_file
from worker.agent.schema import agent_schema
from worker.errors import AgentFileError


def loaded(folder: Path, text: str) -> AgentFile:
    path = folder / "agent.toml"
    path.write_text(text, "utf-8")
    return load_agent_file(path)


WHOLE = """
[[mcp]]
label = "crm"
url = "https://crm.example.com/mcp"
authorization = "CRM_TOKEN"
allowed_tools = ["find_*", "order_status"]
[mcp.headers]
X-Tenant = "seven"
X-Key = { secret = "CRM_KEY", prefix = "Key " }
[mcp.tools."find_*"]
effects = "idempotent"
retries = 2
[mcp.tools.find_customer]
mode = "inline"
filler = "One moment."
approval = "caller"

[[mcp]]
label = "files"
command = "python"
args = ["server.py"]
[mcp.env]
KEY = { secret = "FILES_KEY" }

[[mcp]]
label = "mail"
run_by = "provider"
connector_id = "connector_gmail"
require_approval = { always = ["send"], never = { read_only = true } }

[[route]]
dialled = "1"
mcp = []
"""


def test_a_server_says_where_it_is_and_how_each_tool_is_run(tmp_path: Path) -> None:
    agents = loaded(tmp_path, WHOLE)
    crm, files, mail = agents.default.mcp
    secrets = {"CRM_TOKEN": "t", "CRM_KEY": "k", "FILES_KEY": "f"}
    assert crm.request_headers(secrets) == {"X-Tenant": "seven", "X-Key": "Key k", "Authorization": "Bearer t"}
    assert crm.secrets == ("CRM_TOKEN", "CRM_KEY") and files.variables(secrets) == {"KEY": "f"}
    assert [crm.allows(name) for name in ("find_customer", "order_status", "pay")] == [True, True, False]
    assert crm.options("find_customer").mode == "inline" and crm.options("find_customer").filler == ("One moment.",)
    assert crm.options("find_order").retries == 2 and crm.options("pay") == McpTool()
    assert files.cwd == str(tmp_path.resolve()) and files.where == "python server.py"
    assert mail.require_approval is not None and mail.require_approval.always is not None
    assert mail.require_approval.always.tool_names == ("send",)
    assert [one.label for one in agents.default.mcp_run_by("offhook")] == ["crm", "files"]
    assert [one.label for one in agents.default.mcp_run_by("provider")] == ["mail"]
    assert agents.mcp_servers() == (crm, files, mail) and agents.agent_for("1").mcp == ()
    assert agents.agent_for("1").tools_key != agents.default.tools_key


def test_an_editor_takes_what_may_be_written_shorter() -> None:
    validator = Draft7Validator(agent_schema())
    assert list(validator.iter_errors(tomllib.loads(WHOLE))) == []
    for wrong in ('headers = { X = { sekret = "a" } }', "tools.pay.filler = 7", 'require_approval = "sometimes"'):
        assert not validator.is_valid(tomllib.loads(f'[[mcp]]\nlabel = "crm"\n{wrong}'))


def test_no_value_of_a_header_is_in_a_log(tmp_path: Path) -> None:
    assert "seven" not in repr(loaded(tmp_path, WHOLE).default)


URL = 'url = "https://crm.example.com/mcp"\n'


@pytest.mark.parametrize(
    ("table", "line"),
    [
        (URL, "mcp[1].label: field required"),
        ('label = "crm"', "mcp[1]: write one of url, connector_id, tunnel_id and command: there is none"),
        (
            'label = "crm"\nrun_by = "provider"\nconnector_id = "c"\n' + URL,
            "mcp[1]: write one of url, connector_id, tunnel_id and command: there is url and connector_id",
        ),
        ('label = "crm"\nurl = "crm.example.com"', "mcp[1].url: write https://HOST/PATH or http://HOST/PATH, not"),
        ('label = "crm"\nurl = "https://u:p@host/mcp"', "mcp[1].url: no user and password in the address"),
        ('label = "7up"\n' + URL, "mcp[1].label: a label begins with a letter"),
        ('label = "a.b"\n' + URL, "mcp[1].label: a label begins with a letter"),
        ('label = "a__b"\n' + URL, "mcp[1].label: a label begins with a letter"),
        (f'label = "{"a" * 33}"\n' + URL, "mcp[1].label: a label begins with a letter"),
        ('label = "crm"\nconnector_id = "c"', 'mcp[1]: connector_id goes with run_by = "provider"'),
        (
            'label = "crm"\nrun_by = "provider"\nconnector_id = "c"\nheaders = { X = "1" }',
            "mcp[1]: a connector takes no headers",
        ),
        (
            'label = "crm"\nauthorization = "T"\nheaders = { authorization = { secret = "T" } }\n' + URL,
            "mcp[1]: Authorization twice",
        ),
        ('label = "crm"\nheaders = { Authorization = "Bearer abc" }\n' + URL, "mcp[1].headers: Authorization is a se"),
        ('label = "crm"\nheaders = { X = "1", x = "2" }\n' + URL, "mcp[1].headers: x stands here twice"),
        ('label = "crm"\nheaders = { Mcp-Session-Id = "1" }\n' + URL, "mcp[1].headers: Mcp-Session-Id is the transp"),
        ('label = "crm"\nheaders = { "X Y" = "1" }\n' + URL, "mcp[1].headers: 'X Y' is no name of a header"),
        ('label = "crm"\nheaders = { X = { secrets = "1" } }\n' + URL, "mcp[1].headers.X.secrets: there is no such k"),
        ('label = "crm"\nheaders = { X = { prefix = "a" } }\n' + URL, "mcp[1].headers.X: write a text, or { secret"),
        ('label = "crm"\nargs = ["x"]\n' + URL, "mcp[1]: args, env and cwd go with command"),
        ('label = "crm"\nrun_by = "provider"\ncommand = "x"', "mcp[1]: the provider can't start a command"),
        (
            'label = "crm"\nrun_by = "provider"\nallowed_tools = ["find_*"]\n' + URL,
            "mcp[1]: allowed_tools: the provider takes names, no patterns such as find_*",
        ),
        (
            'label = "crm"\nrun_by = "provider"\ntools.x.mode = "inline"\n' + URL,
            "mcp[1]: tools.x.mode is for tools that we run",
        ),
        (
            'label = "crm"\nrequire_approval = "always"\n' + URL,
            'mcp[1]: require_approval goes with run_by = "provider"',
        ),
        ('label = "crm"\ntools.pay.efects = "once"\n' + URL, "mcp[1].tools.pay.efects: there is no such key; did you "),
        ('label = "crm"\ntools.pay = { effects = "once", retries = 1 }\n' + URL, "mcp[1].tools.pay: retries would run"),
        ('label = "crm"\nurll = "x"\n' + URL, "mcp[1].urll: there is no such key; did you mean url?"),
        (f'label = "crm"\n{URL}[[mcp]]\nlabel = "CRM"\n{URL}', "mcp: the label CRM stands there twice"),
        (
            f'label = "crm"\n{URL}[[route]]\ndialled = "1"\n[[route.mcp]]\nlabel = "crm"\nurl = "http://other/mcp"',
            "mcp: the label crm stands for two different servers",
        ),
        (
            f'label = "crm"\n{URL}[[route]]\ndialled = "1"\n[[route.mcp]]\nlabel = "b"\nurl = "x"',
            "route[1].mcp[1].url: write https://HOST/PATH",
        ),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, table: str, line: str) -> None:
    with pytest.raises(AgentFileError) as caught:
        loaded(tmp_path, "[[mcp]]\n" + table)
    (found,) = caught.value.lines
    assert found.removeprefix(f"{tmp_path / 'agent.toml'}: ").startswith(line)


def test_secrets_that_are_not_there_and_names_that_are_taken_stop_a_start(tmp_path: Path) -> None:
    from tools.define.spec import spec_of

    def crm__find() -> None:
        """A tool of ours with the server's prefix."""

    crm = loaded(tmp_path, WHOLE).default.mcp[:1]
    with pytest.raises(ToolDefinitionError, match="mcp crm wants the secret CRM_KEY: set it, and name it in OFFHOOK_"):
        check_servers(crm, [], {"CRM_TOKEN": "t"})
    secrets = {"CRM_TOKEN": "t", "CRM_KEY": "k"}
    check_servers(crm, [], secrets)
    with pytest.raises(ToolDefinitionError, match="the tool crm__find has a name that belongs to the MCP server crm"):
        check_servers(crm, [spec_of(crm__find)], secrets)
