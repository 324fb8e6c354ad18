from __future__ import annotations

from pathlib import Path

import pytest

from worker.errors import SettingsError
from worker.settings.accounts import load_accounts
from worker.settings.environment import child_environment
from worker.settings.load import load_settings, unknown_variables

TWO = """
[[account]]
name = "berlin"
registrar = "sip.a.example"
username = "line7"
number = "+49 30 123"
transport = "tls"

[[account]]
name = "munich-2"
registrar = "sip.b.example:5080"
username = "line8"
password_file = "munich"
realm = "b.example"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "accounts.toml"
    path.write_text(TWO.replace("+49 30 123", "+4930123"))
    (tmp_path / "munich").write_text("pepper\n")
    return path


def test_passwords_come_from_a_variable_or_a_file(file: Path) -> None:
    berlin, munich = load_accounts(file, {"OFFHOOK_SIP_PASSWORD_BERLIN": "sesame"})
    assert (berlin.password, munich.password) == ("sesame", "pepper")
    assert (berlin.aor, berlin.number, berlin.over) == ("line7@sip.a.example", "+4930123", "tls")
    assert (munich.registrar_uri, munich.realms) == ("sip:sip.b.example:5080", ("b.example",))
    assert "sesame" not in repr(berlin) and "pepper" not in repr(munich)


WRONG = {
    "a name twice": (("munich-2", "berlin"), "two accounts have the name 'berlin': each needs its own"),
    "one address twice": (
        ('registrar = "sip.b.example:5080"\nusername = "line8"', 'registrar = "sip.a.example"\nusername = "line7"'),
        "'berlin' and 'munich-2' are the same address, line7@sip.a.example",
    ),
    "a key that is none": (("number =", "nummber ="), "account[1].nummber: there is no such key; did you mean number?"),
    "no file": (('"munich"', '"augsburg"'), "account[2] (munich-2): password_file"),
    "no name": (('name = "berlin"', ""), "account[1].name: is missing"),
    "a name with blanks": (('"berlin"', '"Berlin Mitte"'), "account[1].name: takes small letters"),
    "a registrar with a user": (("sip.a.example", "x@sip.a.example"), "account[1].registrar: takes a host"),
    "a number of letters": (("+4930123", "30 <x>"), "account[1].number: takes a number such as +49301234567"),
    "another transport": (('"tls"', '"quic"'), "account[1].transport: input should be 'udp', 'tcp' or 'tls'"),
    "no tables": (("[[account]]", "[account]"), "is not TOML"),
    "something beside": (
        ('[[account]]\nname = "berlin"', 'x = 1\n[[account]]\nname = "berlin"'),
        "x: there is no such",
    ),
    "a realm with a quote": (('"b.example"', "'b\"x'"), "account[2].realm"),
}


@pytest.mark.parametrize("change, words", WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_says_what_and_where(file: Path, change: tuple[str, str], words: str) -> None:
    text = file.read_text()
    assert change[0] in text
    file.write_text(text.replace(*change))
    with pytest.raises(SettingsError) as wrong:
        load_accounts(file, {"OFFHOOK_SIP_PASSWORD_BERLIN": "sesame"})
    assert words in str(wrong.value) and str(file) in str(wrong.value)
    assert "sesame" not in str(wrong.value) and "pepper" not in str(wrong.value)


@pytest.mark.parametrize(
    "line", ["password = 'sesame'", "password = ['sesame']", "pasword = 'sesame'", "password = ''"]
)
def test_no_password_is_in_an_error(file: Path, line: str) -> None:
    file.write_text(file.read_text().replace('transport = "tls"', line))
    with pytest.raises(SettingsError) as wrong:
        load_accounts(file, {"OFFHOOK_SIP_PASSWORD_BERLIN": "other"})
    assert "sesame" not in str(wrong.value) and "other" not in str(wrong.value)
    assert "account[1]" in str(wrong.value)


def test_a_password_is_missing(file: Path) -> None:
    with pytest.raises(SettingsError, match="has no password: set OFFHOOK_SIP_PASSWORD_BERLIN, or password_file"):
        load_accounts(file, {})


@pytest.mark.parametrize("text", ["", "two\nlines", "a\tb"])
def test_a_file_that_holds_no_password(file: Path, text: str) -> None:
    (file.parent / "munich").write_text(text)
    with pytest.raises(SettingsError, match="wants the password as its one line"):
        load_accounts(file, {"OFFHOOK_SIP_PASSWORD_BERLIN": "sesame"})


def test_two_names_of_one_variable(file: Path) -> None:
    file.write_text(file.read_text().replace('"berlin"', '"munich_2"').replace('password_file = "munich"', ""))
    with pytest.raises(SettingsError, match="both have OFFHOOK_SIP_PASSWORD_MUNICH_2"):
        load_accounts(file, {"OFFHOOK_SIP_PASSWORD_MUNICH_2": "sesame"})


def test_more_than_the_library_has_room_for(file: Path) -> None:
    tables = [f'[[account]]\nname="n{n}"\nregistrar="h{n}"\nusername="u"\npassword="p"\n' for n in range(8)]
    file.write_text("".join(tables))
    with pytest.raises(SettingsError, match="at most 7, start another"):
        load_accounts(file, {})


def test_settings_with_accounts(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFHOOK_SIP_ACCOUNTS", str(file))
    monkeypatch.setenv("OFFHOOK_SIP_PASSWORD_BERLIN", "sesame")
    with pytest.raises(
        SettingsError, match="OFFHOOK_SIP_TRANSPORTS has no tls: account berlin of OFFHOOK_SIP_ACCOUNTS"
    ):
        load_settings()
    monkeypatch.setenv("OFFHOOK_SIP_TRANSPORTS", "udp,tls")
    settings = load_settings()
    assert [one.name for one in settings.sip_settings().accounts] == ["berlin", "munich-2"]
    assert settings.later_ways().uri == "sip:{caller}@sip.a.example;transport=tls"
    assert {"sesame", "pepper"} <= set(settings.secret_values())
    assert not [line for line in unknown_variables(settings) if "PASSWORD" in line]
    assert "OFFHOOK_SIP_PASSWORD_BERLIN" not in child_environment(keep_secrets=True)
    for name in ("REGISTRAR", "USERNAME", "PASSWORD", "PROXY"):
        monkeypatch.setenv(f"OFFHOOK_SIP_{name}", "x")
        with pytest.raises(SettingsError, match=f"OFFHOOK_SIP_{name} is set beside OFFHOOK_SIP_ACCOUNTS"):
            load_settings()
        monkeypatch.delenv(f"OFFHOOK_SIP_{name}")
