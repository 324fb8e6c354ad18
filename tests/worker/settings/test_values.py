from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from worker.settings import values
from worker.settings.values import HttpAddress


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (values.Hosts, " 192.0.2.1 ", ("192.0.2.1",)),
        (values.Hosts, "::1", ("::1",)),
        (values.Networks, "192.0.2.0/24, trunk-1.example.com", ("192.0.2.0/24", "trunk-1.example.com")),
        (values.Networks, "", ()),
        (values.SipServer, "[2001:db8::1]:5060;transport=tcp", "[2001:db8::1]:5060;transport=tcp"),
        (values.Listen, "0.0.0.0:80", HttpAddress("0.0.0.0", 80)),
        (values.Listen, "off", None),
        (values.PortRange, " 2000 - 2001 ", (2000, 2001)),
        (values.HttpUrl, "https://host/v1", "https://host/v1"),
        (values.Directory, "/nowhere/yet", Path("/nowhere/yet")),
        (values.CallBackUri, " sip:9{caller}@trunk:5080;transport=tcp ", "sip:9{caller}@trunk:5080;transport=tcp"),
        (values.Hooks, "sms=shop.hooks:send, call_back=a:b,", {"sms": "shop.hooks:send", "call_back": "a:b"}),
        (values.Hooks, "", {}),
    ],
)
def test_what_is_read(kind: object, text: str, value: object) -> None:
    assert TypeAdapter(kind).validate_python(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (values.Hosts, "localhost"),
        (values.Networks, "1.2.3"),
        (values.Networks, "host_name!"),
        (values.SipServer, "http://host"),
        (values.CallBackUri, "sip:agent@trunk"),
        (values.CallBackUri, "sip:{caller}@trunk?Replaces=1"),
        (values.CallBackUri, "sip:{caller}@{caller}"),
        (values.CallBackUri, "sip:{caller}@trunk, sip:{caller}@other"),
        (values.CallBackUri, "tel:{caller}"),
        (values.Hooks, "sms=shop.hooks"),
        (values.Hooks, "shop.hooks:send"),
        (values.Hooks, "sms=a:b,sms=c:d"),
        (values.Hooks, "sms=os:system rm"),
        (values.SipServer, "host with blank"),
        (values.Listen, ":80"),
        (values.Listen, "host:"),
        (values.PortRange, "80-90"),
        (values.PortRange, "2000-2000"),
        (values.RealtimeUrl, "wss:///v1"),
        (values.HttpUrl, "https://"),
        (values.RedisUrl, "unix://"),
        (values.File, "/nowhere"),
    ],
)
def test_what_is_refused(kind: object, text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(text)


@pytest.mark.parametrize(
    ("pasted", "base"),
    [
        ("wss://api.openai.com/v1/realtime", "wss://api.openai.com/v1"),
        ("https://api.openai.com/v1/realtime/?model=gpt-realtime", "wss://api.openai.com/v1"),
        ("http://127.0.0.1:8089/v1", "ws://127.0.0.1:8089/v1"),
        ("wss://gw.example.com/realtime?tenant=7&model=m", "wss://gw.example.com?tenant=7"),
        ("wss://gw.example.com/realtime/v1", "wss://gw.example.com/realtime/v1"),
    ],
)
def test_a_url_that_was_pasted_whole_is_the_base(pasted: str, base: str) -> None:
    assert values.without_realtime(pasted) == base and values.without_realtime(base) == base


@pytest.mark.parametrize(
    ("endpoint", "base"),
    [
        ("https://res.openai.azure.com", "https://res.openai.azure.com/openai/v1"),
        ("https://res.openai.azure.com/openai/", "https://res.openai.azure.com/openai/v1"),
        ("https://res.openai.azure.com/openai/v1/realtime", "https://res.openai.azure.com/openai/v1"),
        ("https://gw.azure-api.net/team/voice", "https://gw.azure-api.net/team/voice/openai/v1"),
        ("https://gw.azure-api.net/team/openai/v1/?x=1", "https://gw.azure-api.net/team/openai/v1?x=1"),
    ],
)
def test_an_azure_endpoint_keeps_its_path(endpoint: str, base: str) -> None:
    assert values.azure_base(endpoint) == base and values.azure_base(base) == base
