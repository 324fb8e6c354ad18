"""Gemini, Vertex AI, xAI, Entra ID and gateways with headers of their own: settings in, a provider's recipe out."""

from __future__ import annotations

import os

import pytest

from worker.realtime import dialect
from worker.realtime.gemini import dial as gemini_dial
from worker.realtime.gemini.dial import endpoint, model_path
from worker.realtime.provider import Provider
from worker.settings.load import load_settings

AI_STUDIO = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
VERTEX_AI = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OFFHOOK_", "OPENAI_", "AZURE_", "REDIS_", "GEMINI_", "GOOGLE_", "XAI_")):
            monkeypatch.delenv(name)


def provider(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Provider:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_settings().provider()


async def headers(found: Provider) -> dict[str, str]:
    return await gemini_dial._headers(found)


async def test_gemini_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    found = provider(monkeypatch, OFFHOOK_REALTIME="gemini", GEMINI_API_KEY="AIza-one")
    assert endpoint(found) == f"wss://generativelanguage.googleapis.com{AI_STUDIO}"
    assert model_path(found) == "models/gemini-3.8-live"
    assert await headers(found) == {"x-goog-api-key": "AIza-one"}
    assert found.dialect == dialect.GEMINI and "AIza" not in repr(found)


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("europe-west4", "europe-west4-aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
    ],
)
async def test_vertex_by_the_project_s_credentials(monkeypatch: pytest.MonkeyPatch, location: str, host: str) -> None:
    variables = {"GOOGLE_CLOUD_PROJECT": "p-1", "GOOGLE_CLOUD_LOCATION": location}
    found = provider(monkeypatch, OFFHOOK_REALTIME="vertex", **variables)
    assert endpoint(found) == f"wss://{host}{VERTEX_AI}"
    assert model_path(found) == f"projects/p-1/locations/{location}/publishers/google/models/gemini-3.8-live"
    assert callable(found.key) and found.dialect == dialect.VERTEX


@pytest.mark.parametrize("scheme", ["https", "wss"])
async def test_a_gateway_with_a_path_per_account_and_headers_of_its_own(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    own = {"OFFHOOK_REALTIME_URL": f"{scheme}://gw.example.com/live/acme"}
    secret = {"OFFHOOK_REALTIME_HEADERS": "Authorization: Bearer of-the-gateway, X-Tenant: seven"}
    for name, path in (("gemini", AI_STUDIO), ("vertex", VERTEX_AI)):
        found = provider(monkeypatch, OFFHOOK_REALTIME=name, **own, **secret)
        assert endpoint(found) == f"wss://gw.example.com/live/acme{path}"
        assert await headers(found) == {"Authorization": "Bearer of-the-gateway", "X-Tenant": "seven"}
        assert "of-the-gateway" not in repr(found) and "of-the-gateway" not in found.scrub("Bearer of-the-gateway")
    assert "Bearer of-the-gateway" in load_settings().secret_values()


async def test_a_whole_url_of_the_service_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = f"wss://gw.example.com/x{AI_STUDIO}?tenant=7"
    found = provider(monkeypatch, OFFHOOK_REALTIME="gemini", GEMINI_API_KEY="k", OFFHOOK_REALTIME_URL=whole)
    assert endpoint(found) == whole


def test_an_openai_shaped_gateway_keeps_its_account_s_path(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"OFFHOOK_REALTIME_URL": "https://gw.example.com/live/acme", "OFFHOOK_REALTIME_HEADERS": "X-Tenant: seven"}
    found = provider(monkeypatch, OFFHOOK_REALTIME="gateway", OPENAI_API_KEY="k", **own)
    assert (found.url, found.headers) == ("wss://gw.example.com/live/acme", {"X-Tenant": "seven"})


def test_what_is_no_header_is_not_taken_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Exception, match="OFFHOOK_REALTIME_HEADERS is not allowed: it takes a list") as wrong:
        provider(monkeypatch, OFFHOOK_REALTIME_HEADERS="hush-hush")
    assert "hush" not in str(wrong.value)


def test_xai_is_openai_s_protocol_in_another_dialect(monkeypatch: pytest.MonkeyPatch) -> None:
    found = provider(monkeypatch, OFFHOOK_REALTIME="xai", XAI_API_KEY="k", OFFHOOK_REALTIME_MODEL="m")
    assert (found.url, found.dialect) == ("wss://api.x.ai/v1", dialect.XAI)


def test_azure_by_entra_id_sends_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"AZURE_OPENAI_ENDPOINT": "https://res.openai.azure.com", "AZURE_OPENAI_DEPLOYMENT": "d"}
    found = provider(monkeypatch, OFFHOOK_REALTIME="azure", OFFHOOK_AZURE_AUTH="entra", **own)
    assert callable(found.key) and found.headers == {} and found.url == "wss://res.openai.azure.com/openai/v1"


def test_a_local_server_or_a_gateway_may_speak_gemini(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"OFFHOOK_REALTIME_PROTOCOL": "gemini", "OFFHOOK_REALTIME_URL": "ws://127.0.0.1:9"}
    found = provider(monkeypatch, **own)
    assert found.dialect == dialect.GEMINI and endpoint(found) == f"ws://127.0.0.1:9{AI_STUDIO}"
