import os
from pathlib import Path

import pytest

from tools.queue.backlog import Backlog
from worker.call_tools.later import LaterWays
from worker.errors import SettingsError
from worker.records.told import Told
from worker.settings.environment import child_environment
from worker.settings.load import load_settings, unknown_variables
from worker.settings.settings import Settings, variable_of
from worker.settings.values import HttpAddress, without_password


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OFFHOOK_", "OPENAI_", "AZURE_OPENAI_", "REDIS_")):
            monkeypatch.delenv(name)


def lines(monkeypatch: pytest.MonkeyPatch, **variables: str) -> list[str]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert caught.value.exit_code == 2
    return list(caught.value.lines)


def test_nothing_configured_is_a_local_worker_on_loopback() -> None:
    settings = load_settings()
    assert settings.needs_embedded_redis() and settings.needs_local_realtime()
    assert (settings.sip_host, settings.sip_port) == (("127.0.0.1",), 5060)
    assert settings.http == HttpAddress("127.0.0.1", 8080)
    assert settings.model_name() == "local"
    assert settings.recordings is None


def test_values_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "OFFHOOK_SIP_PORT": "0",
        "OFFHOOK_SIP_TRANSPORTS": " tcp ",
        "OFFHOOK_SIP_ALLOW": "192.0.2.7, 198.51.100.0/24,trunk.example.com",
        "OFFHOOK_SRTP": "Required",
        "OFFHOOK_SIP_CODECS": "g722, pcma",
        "OFFHOOK_SRTP_KEYS": "plain",
        "OFFHOOK_RTP_PORTS": "20000-20100",
        "OFFHOOK_MAX_CALLS": "3",
        "OFFHOOK_HTTP": "[::1]:0",
        "OFFHOOK_RECORDINGS": str(tmp_path / "made later"),
        "OFFHOOK_REALTIME_URL": "ws://127.0.0.1:9/v1",
        "REDIS_URL": "redis://:hush@127.0.0.1:6379/1",
    }.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.sip_transports == ("tcp",)
    assert settings.sip_settings().codecs == ("G722", "PCMA")
    assert settings.sip_allow == ("192.0.2.7", "198.51.100.0/24", "trunk.example.com")
    assert (settings.srtp, settings.rtp_ports, settings.max_calls) == ("required", (20000, 20100), 3)
    assert settings.http == HttpAddress("::1", 0)
    assert not settings.needs_embedded_redis() and not settings.needs_local_realtime()
    assert "hush" not in repr(settings)


@pytest.mark.parametrize("value", ["off", "OFF"])
def test_http_can_be_off(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OFFHOOK_HTTP", value)
    assert load_settings().http is None


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFHOOK_MAX_CALLS", "")
    monkeypatch.setenv("REDIS_URL", "")
    assert load_settings().max_calls is None


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("OFFHOOK_SIP_PORT", "99999", "a port from 0 to 65535"),
        ("OFFHOOK_SIP_PORT", "sip", "a port from 0 to 65535"),
        ("OFFHOOK_SIP_TRANSPORTS", "udp,sctp", "udp, tcp"),
        ("OFFHOOK_SIP_TRANSPORTS", ",", "udp, tcp"),
        ("OFFHOOK_SIP_CODECS", "PCMU,opus", "PCMU, PCMA, G722, each once"),
        ("OFFHOOK_SIP_CODECS", "g722,pcmu,G722", "PCMU, PCMA, G722, each once"),
        ("OFFHOOK_SIP_CODECS", ",", "PCMU, PCMA, G722, each once"),
        ("OFFHOOK_SIP_HOST", "localhost", "an IP address of this machine"),
        ("OFFHOOK_SIP_ALLOW", "192.0.2.300", "addresses, networks or host names"),
        ("OFFHOOK_SIP_ALLOW", "192.0.2.0/33", "addresses, networks or host names"),
        ("OFFHOOK_SIP_REGISTRAR", "sip:user@pbx.example.com", "pbx.example.com or sip:"),
        ("OFFHOOK_SIP_REGISTRAR", "http://pbx", "pbx.example.com or sip:"),
        ("OFFHOOK_DIAL_TO", "sip:pbx.example.com", "such as +49*, sip:*@pbx.example.com"),
        ("OFFHOOK_DIAL_TO", "+49*, sip:*@pbx.example.com;transport=tcp", "such as +49*, sip:*@pbx.example.com"),
        ("OFFHOOK_DIAL_TO", "tel:+49*", "such as +49*, sip:*@pbx.example.com"),
        ("OFFHOOK_SRTP", "yes", "off, optional, required"),
        ("OFFHOOK_RTP_PORTS", "10000", "10000-10999"),
        ("OFFHOOK_RTP_PORTS", "0-100", "10000-10999"),
        ("OFFHOOK_RTP_PORTS", "9-1", "10000-10999"),
        ("OFFHOOK_MAX_CALLS", "0", "a number from 1"),
        ("OFFHOOK_ANSWER_SECONDS", "60", "at most 30"),
        ("OFFHOOK_REALTIME", "closedai", "local, openai, azure, gateway"),
        ("OFFHOOK_REALTIME_URL", "ftp://x", "wss://, ws://, https:// or http:// URL"),
        ("OFFHOOK_AGENT", "/nowhere/agent.toml", "agent file (TOML) that exists"),
        ("OFFHOOK_HTTP", "8080", "127.0.0.1:8080, or off"),
        ("OFFHOOK_HTTP", "127.0.0.1:99999", "127.0.0.1:8080, or off"),
        ("OFFHOOK_RECORDINGS", __file__, "directory"),
        ("OFFHOOK_BACKLOG_TELL_SECONDS", "0", "from which on new callers are told (left out: never)"),
        ("OFFHOOK_LOG_LEVEL", "loud", "debug, info, warning, error"),
        ("AZURE_OPENAI_ENDPOINT", "resource", "https://RESOURCE.openai.azure.com"),
    ],
)
def test_a_wrong_value_is_one_line_with_variable_value_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str
) -> None:
    (line,) = lines(monkeypatch, **{name: value})
    assert line.startswith(f"{name}={value} is not allowed") and allowed in line


def test_the_backlogs_limits_go_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().backlog() == Backlog(tell_s=None, refuse_s=None), "never"
    monkeypatch.setenv("OFFHOOK_BACKLOG_TELL_SECONDS", "10")
    monkeypatch.setenv("OFFHOOK_BACKLOG_REFUSE_SECONDS", "30")
    assert load_settings().backlog() == Backlog(tell_s=10.0, refuse_s=30.0)
    (line,) = lines(monkeypatch, OFFHOOK_BACKLOG_REFUSE_SECONDS="5")
    assert line == "OFFHOOK_BACKLOG_REFUSE_SECONDS=5 is under OFFHOOK_BACKLOG_TELL_SECONDS=10: make it the larger one"


def test_all_wrong_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(lines(monkeypatch, OFFHOOK_SIP_PORT="x", OFFHOOK_HTTP="y", OFFHOOK_SRTP="z")) == 3


def test_a_wrong_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = lines(monkeypatch, REDIS_URL="http://:hush@redis")
    assert line.startswith("REDIS_URL is not allowed: it takes redis://") and "hush" not in line


def test_gemini_vertex_and_xai_say_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    (key,) = lines(monkeypatch, OFFHOOK_REALTIME="gemini")
    assert key.startswith("GEMINI_API_KEY is not set: OFFHOOK_REALTIME=gemini needs it")
    project, location = lines(monkeypatch, OFFHOOK_REALTIME="vertex")
    assert project.startswith("GOOGLE_CLOUD_PROJECT is") and location.startswith("GOOGLE_CLOUD_LOCATION is")
    key, model = lines(monkeypatch, OFFHOOK_REALTIME="xai")
    assert key.startswith("XAI_API_KEY is") and model.startswith("OFFHOOK_REALTIME_MODEL is")


def test_openai_needs_a_key_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = lines(monkeypatch, OFFHOOK_REALTIME="openai")
    assert line.startswith("OPENAI_API_KEY is not set: OFFHOOK_REALTIME=openai needs it; set it to a key")


def test_azure_and_gateway_say_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    azure = lines(monkeypatch, OFFHOOK_REALTIME="azure")
    assert [line.split()[0] for line in azure] == [
        "AZURE_OPENAI_ENDPOINT",
        "AZURE_OPENAI_API_KEY",
        "AZURE_OPENAI_DEPLOYMENT",
    ]
    (gateway,) = lines(monkeypatch, OFFHOOK_REALTIME="gateway")
    assert gateway.startswith("OFFHOOK_REALTIME_URL is not set")


def test_a_proxy_needs_a_password_and_stands_in_a_registrars_place(monkeypatch: pytest.MonkeyPatch) -> None:
    found = lines(
        monkeypatch,
        OFFHOOK_SIP_PROXY="sip:front;transport=tcp",
        OFFHOOK_SIP_TRANSPORTS="udp",
        OFFHOOK_SIP_REGISTRAR="sip:pbx.example.com",
        OFFHOOK_SIP_USERNAME="line7",
        OFFHOOK_SIP_PASSWORD="sesame",
    )
    assert [line.split()[0] for line in found] == [
        "OFFHOOK_SIP_PROXY_PASSWORD",
        "OFFHOOK_SIP_REGISTRAR",
        "OFFHOOK_SIP_TRANSPORTS",
    ]
    assert "set OFFHOOK_SIP_REGISTRAR there" in found[1] and "sesame" not in str(found)


def test_one_proxy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = lines(monkeypatch, OFFHOOK_SIP_PROXY="sip:one,sip:two", OFFHOOK_SIP_PROXY_PASSWORD="word")
    assert len(found) == 1 and "it takes one proxy in front of several workers" in found[0]


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("redis+sentinel://:word@one:26379,two:26379/queue?wait=1", True),
        ("rediss+sentinel://one/queue", True),
        ("rediss://:word@one:6380/1", True),
        ("redis+sentinel://one:26379", False),
        ("redis+sentinel://one/queue?wait=x", False),
    ],
)
def test_redis_by_sentinels(monkeypatch: pytest.MonkeyPatch, url: str, good: bool) -> None:
    if good:
        monkeypatch.setenv("REDIS_URL", url)
        assert load_settings().queue_settings().url == url
    else:
        (line,) = lines(monkeypatch, REDIS_URL=url)
        assert line.startswith("REDIS_URL is not allowed") and "one" not in line.partition("redis://")[0]


def test_a_registrar_needs_a_user_and_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    found = lines(monkeypatch, OFFHOOK_SIP_REGISTRAR="sip:pbx.example.com")
    assert [line.split()[0] for line in found] == ["OFFHOOK_SIP_USERNAME", "OFFHOOK_SIP_PASSWORD"]


def test_where_each_provider_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k1")
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://res.openai.azure.com/")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "k2")
    monkeypatch.setenv("AZURE_OPENAI_DEPLOYMENT", "dep")

    monkeypatch.setenv("OFFHOOK_REALTIME", "openai")
    assert load_settings().realtime_endpoint() == ("wss://api.openai.com/v1", "k1", {})
    monkeypatch.setenv("OFFHOOK_REALTIME", "azure")
    azure = load_settings()
    assert azure.realtime_endpoint() == ("wss://res.openai.azure.com/openai/v1", None, {"api-key": "k2"})
    assert azure.model_name() == "dep"
    monkeypatch.setenv("OFFHOOK_REALTIME", "gateway")
    monkeypatch.setenv("OFFHOOK_REALTIME_URL", "wss://gw.example.com/v1")
    assert load_settings().realtime_endpoint() == ("wss://gw.example.com/v1", "k1", {})
    monkeypatch.setenv("OFFHOOK_REALTIME", "local")
    assert load_settings().realtime_endpoint() == ("wss://gw.example.com/v1", "none", {})
    monkeypatch.setenv("OFFHOOK_REALTIME_URL", "ws://127.0.0.1:7/v1/realtime?x=1")
    assert load_settings().realtime_endpoint() == ("ws://127.0.0.1:7/v1?x=1", "none", {})
    monkeypatch.delenv("OFFHOOK_REALTIME_URL")
    assert load_settings().realtime_endpoint("ws://127.0.0.1:7/v1") == ("ws://127.0.0.1:7/v1", "none", {})


def test_a_misspelt_variable_is_named_with_the_nearest_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFHOOK_RECORDING", "x")
    load_settings()
    assert unknown_variables() == ["OFFHOOK_RECORDING is no setting of offhook; did you mean OFFHOOK_RECORDINGS?"]


def test_children_get_no_secret_that_is_not_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OFFHOOK_SIP_PASSWORD", "OPENAI_API_KEY", "REDIS_URL", "OFFHOOK_LOG_LEVEL"):
        monkeypatch.setenv(name, "x")
    bare = child_environment(keep_secrets=False, REDIS_URL="unix:///s")
    assert "OFFHOOK_SIP_PASSWORD" not in bare and "OPENAI_API_KEY" not in bare
    assert bare["REDIS_URL"] == "unix:///s" and bare["OFFHOOK_LOG_LEVEL"] == "x"
    tools = child_environment(keep_secrets=True)
    assert tools["OPENAI_API_KEY"] == "x" and "OFFHOOK_SIP_PASSWORD" not in tools


def test_what_is_named_for_the_tools_goes_to_them_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFHOOK_TOOL_SECRETS", "SHOP_KEY, CRM_KEY")
    for name in ("SHOP_KEY", "CRM_KEY", "SHOP_URL", "offhook_sip_password", "openai_api_key"):
        monkeypatch.setenv(name, "x")
    bare, tools = child_environment(keep_secrets=False), child_environment(keep_secrets=True)
    assert not {"SHOP_KEY", "CRM_KEY", "openai_api_key", "offhook_sip_password"} & set(bare)
    assert bare["SHOP_URL"] == "x"
    assert {"SHOP_KEY", "CRM_KEY", "openai_api_key"} <= set(tools) and "offhook_sip_password" not in tools


def test_every_setting_says_what_is_allowed_and_has_a_name() -> None:
    for field, info in Settings.model_fields.items():
        assert info.description, field
        assert variable_of(field).startswith(
            ("OFFHOOK_", "OPENAI_", "AZURE_OPENAI_", "REDIS_URL", "XAI_", "GEMINI_", "GOOGLE_CLOUD_", "OTEL_")
        )


@pytest.mark.parametrize(
    "value", ["pbx.example.com", "192.0.2.1:5080", "sip:pbx.example.com:5080;transport=tcp", "[2001:db8::1]:5060"]
)
def test_ways_to_name_a_registrar(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OFFHOOK_SIP_HOST", "0.0.0.0, [::]")
    monkeypatch.setenv("OFFHOOK_SIP_REGISTRAR", value)
    monkeypatch.setenv("OFFHOOK_SIP_USERNAME", "alice")
    monkeypatch.setenv("OFFHOOK_SIP_PASSWORD", "hush")
    sip = load_settings().sip_settings()
    assert (sip.registrar, sip.username, sip.password) == (value, "alice", "hush")


def test_the_provider_is_a_recipe_that_hides_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFHOOK_REALTIME", "openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hush-hush")
    provider = load_settings().provider()
    assert (provider.name, provider.key, provider.url) == ("openai", "sk-hush-hush", "wss://api.openai.com/v1")
    assert "hush" not in repr(provider)


def test_telephony_gets_values_it_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFHOOK_RTP_PORTS", "0-0")
    monkeypatch.setenv("OFFHOOK_SIP_PORT", "0")
    sip = load_settings().sip_settings()
    assert (sip.host, sip.port, sip.rtp_ports, sip.transports) == ("127.0.0.1", 0, (0, 0), ("udp", "tcp"))


def test_urls_are_logged_without_password() -> None:
    assert without_password("redis://user:hush@host:6379/1?x=hush") == "redis://host:6379/1"
    assert without_password("unix:///tmp/r.sock") == "unix:///tmp/r.sock"


def test_every_secret_is_known_to_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", "open sesame")
    monkeypatch.setenv("OFFHOOK_TOOL_SECRETS", "SHOP_KEY")
    monkeypatch.setenv("OFFHOOK_SIP_PASSWORD", "line seven")
    assert sorted(load_settings().secret_values()) == ["line seven", "open sesame"]


def test_what_can_be_told_after_a_call_follows_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    def ways(**variables: str) -> LaterWays:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(f"OFFHOOK_{name}", value)
            return load_settings().later_ways()

    registrar = {"SIP_REGISTRAR": "sip:pbx:5080;transport=tcp", "SIP_USERNAME": "line7", "SIP_PASSWORD": "sesame"}
    webhook = {"NOTIFY_URL": "https://shop/ends", "NOTIFY_SECRET": "whsec"}
    assert ways() == LaterWays()
    assert ways(**registrar) == LaterWays(uri="sip:{caller}@pbx:5080;transport=tcp")
    secure = {**registrar, "SIP_REGISTRAR": "sips:pbx:5061", "SIP_TRANSPORTS": "udp,tls"}
    assert ways(**secure) == LaterWays(uri="sips:{caller}@pbx:5061")
    assert ways(**registrar, CALL_BACK_URI="sip:{caller}@trunk") == LaterWays(uri="sip:{caller}@trunk")
    assert ways(**webhook) == LaterWays(send="default")
    assert ways(**webhook, NOTIFY_HOOKS="send=shop:sms") == LaterWays(send="send")
    assert ways(NOTIFY_HOOKS="call_back=shop:dial") == LaterWays(hook=True)
    assert ways(NOTIFY_HOOKS="sms=shop:sms") == LaterWays(), "a channel for tools that name it"


def test_hooks_go_to_the_tool_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFHOOK_NOTIFY_HOOKS", "send=shop.hooks:sms")
    assert load_settings().notify_settings().hooks == {"send": "shop.hooks:sms"}
    [line] = lines(monkeypatch, OFFHOOK_NOTIFY_HOOKS="send")
    assert line.startswith("OFFHOOK_NOTIFY_HOOKS=send is not allowed: it takes a list with commas of channel=module")


def test_a_call_back_needs_the_caller_in_its_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    [line] = lines(monkeypatch, OFFHOOK_CALL_BACK_URI="sip:agent@trunk")
    assert "it takes a sip: URI with {caller} in its user part" in line


def test_a_table_of_prices_of_the_operators_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert load_settings().price_table().currency == "USD"
    path = tmp_path / "prices.toml"
    path.write_text('date = 2026-11-02\ncurrency = "EUR"\n')
    monkeypatch.setenv("OFFHOOK_PRICES", str(path))
    assert load_settings().price_table().date == "2026-11-02"
    path.write_text("currency = 3")
    assert lines(monkeypatch) == [f"OFFHOOK_PRICES={path}: date: Field required"]
    (missing,) = lines(monkeypatch, OFFHOOK_PRICES=str(tmp_path / "none.toml"))
    assert missing.startswith(f"OFFHOOK_PRICES={tmp_path / 'none.toml'} is not allowed: it takes the path of a table")


def test_keys_of_srtp_need_tls(monkeypatch) -> None:
    [line] = lines(monkeypatch, OFFHOOK_SRTP="required")
    assert "the keys would go over the network for all to read; add tls" in line and "OFFHOOK_SRTP_KEYS=plain" in line
    monkeypatch.setenv("OFFHOOK_SRTP_KEYS", "plain")
    assert load_settings().sip_settings().srtp == "required"
    monkeypatch.delenv("OFFHOOK_SRTP_KEYS")
    monkeypatch.setenv("OFFHOOK_SIP_TRANSPORTS", "udp,tls")
    assert load_settings().sip_settings().srtp_keys == "tls"


def test_what_tls_needs(monkeypatch, tmp_path) -> None:
    (file := tmp_path / "desk.pem").write_text("")
    registrar = {"OFFHOOK_SIP_USERNAME": "line7", "OFFHOOK_SIP_PASSWORD": "sesame"}
    registrar["OFFHOOK_SIP_REGISTRAR"] = "sips:pbx.example.com"
    assert lines(monkeypatch, OFFHOOK_SIP_TLS_CERT=str(file), **registrar) == [
        "OFFHOOK_SIP_TLS_CERT is set, but OFFHOOK_SIP_TRANSPORTS has no tls: add it, as in udp,tcp,tls",
        "OFFHOOK_SIP_TRANSPORTS has no tls: OFFHOOK_SIP_REGISTRAR=sips:pbx.example.com needs it; add tls",
    ]
    [line] = lines(monkeypatch, OFFHOOK_SIP_TRANSPORTS="tls", OFFHOOK_SIP_TLS_VERIFY="all")
    assert line.startswith("OFFHOOK_SIP_TLS_CA is not set: OFFHOOK_SIP_TLS_VERIFY=all needs it")


def test_journals_are_in_memory_beside_recordings_in_a_folder_or_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert (load_settings().journal_folder(), load_settings().records_folder()) == (None, None)
    assert load_settings().told() == Told() and load_settings().sip_settings().trace
    monkeypatch.setenv("OFFHOOK_RECORDINGS", str(tmp_path / "r"))
    assert load_settings().journal_folder() == load_settings().records_folder() == tmp_path / "r"
    monkeypatch.setenv("OFFHOOK_JOURNAL", str(tmp_path / "j"))
    assert (load_settings().journal_folder(), load_settings().records_folder()) == (tmp_path / "j", tmp_path / "r")
    monkeypatch.delenv("OFFHOOK_RECORDINGS")
    assert load_settings().records_folder() == tmp_path / "j"
    monkeypatch.setenv("OFFHOOK_JOURNAL", " Off ")
    assert load_settings().journal_folder() is None and not load_settings().sip_settings().trace
    monkeypatch.setenv("OFFHOOK_TRANSCRIPTS", "off")
    assert load_settings().told() == Told(journal=False, words=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [("OFFHOOK_JOURNAL", "of"), ("OFFHOOK_JOURNAL", "/proc/version"), ("OFFHOOK_JOURNAL_DAYS", "0")],
)
def test_a_slip_of_the_pen_is_no_folder_of_journals(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name}={value} is not allowed: it takes "):
        load_settings()


def test_a_token_that_is_too_short_is_told_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFHOOK_HTTP_TOKEN", "short-and-secret")
    assert "short-and-secret" in load_settings().secret_values()
    monkeypatch.setenv("OFFHOOK_HTTP_TOKEN", "too-short")
    with pytest.raises(
        SettingsError, match="OFFHOOK_HTTP_TOKEN is not allowed: it takes a secret of at least 16"
    ) as told:
        load_settings()
    assert "too-short" not in str(told.value)
    assert "OFFHOOK_HTTP_TOKEN" not in child_environment(keep_secrets=True)
    monkeypatch.setenv("OFFHOOK_APPROVAL_TOKEN", "of-operators-alone")
    assert "OFFHOOK_APPROVAL_TOKEN" not in child_environment(keep_secrets=True), "no tool approves its own calls"


@pytest.mark.parametrize(
    ("http", "url"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("0.0.0.0:9000", "http://127.0.0.1:9000"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("127.0.0.1:0", None),
        ("off", None),
    ],
)
def test_where_a_worker_is_asked_from_its_machine(monkeypatch: pytest.MonkeyPatch, http: str, url: str | None) -> None:
    monkeypatch.setenv("OFFHOOK_HTTP", http)
    assert load_settings().own_url() == url


def test_a_homer_is_told_with_heads_also_where_there_is_no_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().hep is None and not load_settings().sip_settings().trace_heads
    monkeypatch.setenv("OFFHOOK_JOURNAL", "off")
    monkeypatch.setenv("OFFHOOK_HEP", "homer.example:9060")
    monkeypatch.setenv("OFFHOOK_HEP_PASSWORD", "a secret of theirs")
    sip = load_settings().sip_settings()
    assert sip.trace and sip.trace_heads and "a secret of theirs" in load_settings().secret_values()
    assert "OFFHOOK_HEP_PASSWORD" not in child_environment(keep_secrets=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("OFFHOOK_HEP", "homer"), ("OFFHOOK_HEP", "homer:0"), ("OFFHOOK_HEP", "homer:70000"), ("OFFHOOK_HEP_ID", "-1")],
)
def test_a_homer_that_can_t_be(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name}={value} is not allowed: it takes "):
        load_settings()


def test_traces_are_off_without_an_endpoint_and_where_they_are_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not load_settings().traces()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/v1/traces")
    assert load_settings().traces()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not load_settings().traces()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "false")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    assert not load_settings().traces()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_SDK_DISABLED", "perhaps"),
    ],
)
def test_what_of_traces_is_not_carried_is_said(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"{variable}={value} is not allowed"):
        load_settings()


def test_headers_for_a_receiver_of_traces_are_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=sk-otel-4711,tenant=shop")
    settings = load_settings()
    assert "sk-otel-4711" in settings.secret_values() and "4711" not in repr(settings)
    assert "OTEL_EXPORTER_OTLP_HEADERS" not in child_environment(keep_secrets=False)
    assert "OTEL_EXPORTER_OTLP_HEADERS" in child_environment(keep_secrets=True)


@pytest.mark.parametrize("proxy", ["sip:front:5061;transport=tls", "sips:front"])
def test_the_proxy_is_spoken_to_without_tls(monkeypatch, proxy: str) -> None:
    """The contact that a worker announces has no TLS, nor has the proxy on that side."""
    given = {"OFFHOOK_SIP_PROXY": proxy, "OFFHOOK_SIP_PROXY_PASSWORD": "sesame", "OFFHOOK_SIP_TRANSPORTS": "udp,tls"}
    [line] = lines(monkeypatch, **given)
    assert "speak UDP or TCP" in line
