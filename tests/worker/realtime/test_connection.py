"""The connection against a real WebSocket server that does what servers do, good and bad."""

import asyncio
import base64
import json
import logging

import pytest
from structlog.testing import capture_logs

from worker.realtime import events as realtime
from worker.realtime.base import RealtimeRefused, SessionConfig
from worker.realtime.choose import connection_for, prepare
from worker.realtime.connection import reconnect_delays
from worker.realtime.events import ConnectionLost, SessionReady, SpeechStarted, Unknown
from worker.realtime.openai.codec import OpenAICodec
from worker.realtime.outbox import Outbox
from worker.realtime.provider import Provider

KEY = "sk-test-0123456789abcdef"
CONFIG = SessionConfig(instructions="Be brief.")
SPEECH = {"type": "input_audio_buffer.speech_started", "item_id": "item_1", "audio_start_ms": 40}


class Ear:
    """Keeps what a connection tells."""

    def __init__(self):
        self.events = []

    def __call__(self, event):
        self.events.append(event)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def connection_to(provider, on_event, **options):
    return connection_for(provider, OpenAICodec(), on_event, call_id="call-1", **options)


async def greet_and_listen(peer, ws):
    await peer.greet(ws)
    await peer.listen(ws)


class TestOpening:
    async def test_begins_a_session_with_our_settings(self, peer):
        ear = Ear()
        async with peer(greet_and_listen) as server:
            connection = connection_to(server.provider, ear)
            ready = await connection.open(CONFIG)
            assert ready == SessionReady("sess_1", "pcm24k", "pcm24k")
            assert ear.events == [ready]
            assert connection.is_open
            await connection.close()
            assert not connection.is_open
        assert server.received[0]["type"] == "session.update"
        assert server.received[0]["session"]["instructions"] == "Be brief."
        assert ear.of(ConnectionLost) == []

    async def test_handshake_carries_the_model_the_key_and_our_headers_but_no_beta_header(self, peer):
        async with peer(greet_and_listen) as server:
            connection = connection_to(server.provider, Ear())
            await connection.open(CONFIG)
            await connection.close()
        path, headers = server.paths[0], server.headers[0]
        assert path.startswith("/v1/realtime?")
        assert "model=m-1" in path and "tenant=7" in path
        assert headers["authorization"] == f"Bearer {KEY}"
        assert headers["x-own"] == "yes"
        assert "openai-beta" not in headers
        assert "sec-websocket-extensions" not in headers  # no deflate

    async def test_key_may_be_fetched_for_each_connection(self, peer):
        tokens = iter(["token-one", "token-two"])

        async def token():
            return next(tokens)

        async with peer(greet_and_listen) as server:
            known = server.provider
            provider = Provider(name="azure", url=known.url, model="deployment", key=token)
            connection = connection_to(provider, Ear())
            await connection.open(CONFIG)
            await connection.open(CONFIG)
            await connection.close()
        assert [headers["authorization"] for headers in server.headers] == ["Bearer token-one", "Bearer token-two"]

    async def test_a_format_unknown_to_the_protocol_is_our_error(self, peer):
        async with peer(greet_and_listen) as server:
            with pytest.raises(ValueError, match="pcm16k"):
                await connection_to(server.provider, Ear()).open(SessionConfig(input_format="pcm16k"))
            assert server.paths == []

    async def test_opening_again_is_a_new_session(self, peer):
        ear = Ear()
        async with peer(greet_and_listen) as server:
            connection = connection_to(server.provider, ear)
            await connection.open(CONFIG)
            await connection.open(CONFIG)
            await connection.close()
        assert len(ear.of(SessionReady)) == 2
        assert [message["type"] for message in server.received] == ["session.update"] * 2
        assert ear.of(ConnectionLost) == []

    async def test_events_of_the_first_moment_come_after_ready(self, peer):
        async def scene(server, ws):
            await server.greet(ws)
            await server.say(ws, **SPEECH)
            await server.listen(ws)

        ear = Ear()
        async with peer(scene) as server:
            connection = connection_to(server.provider, ear)
            await connection.open(CONFIG)
            async with asyncio.timeout(5):
                while len(ear.events) < 2:
                    await asyncio.sleep(0.005)
            await connection.close()
        assert [type(event) for event in ear.events] == [SessionReady, SpeechStarted]

    def test_what_connections_share_can_be_made_beforehand(self):
        prepare(Provider(name="openai", url="wss://api.example.com/v1", model="m", key=KEY))


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "fatal", "words"),
        [
            (401, True, "refused the key"),
            (403, True, "refused access"),
            (404, True, "check the URL and the model"),
            (429, False, "quota"),
            (503, False, "try later"),
        ],
    )
    async def test_http_status(self, peer, status, fatal, words):
        body = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}", "code": "no"}})
        async with peer(greet_and_listen, refuse=(status, body)) as server:
            connection = connection_to(server.provider, Ear())
            with pytest.raises(RealtimeRefused) as caught:
                await connection.open(CONFIG)
        assert caught.value.code == status
        assert caught.value.fatal is fatal
        message = str(caught.value)
        assert words in message
        assert f"gateway at ws://127.0.0.1:{server.port}/v1" in message
        assert KEY not in message and "Incorrect API key provided: ***" in message

    async def test_quota_is_fatal_though_429(self, peer):
        body = json.dumps({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}})
        async with peer(greet_and_listen, refuse=(429, body)) as server:
            with pytest.raises(RealtimeRefused) as caught:
                await connection_to(server.provider, Ear()).open(CONFIG)
        assert caught.value.fatal

    async def test_nobody_listens(self, peer):
        async with peer(greet_and_listen) as server:
            provider = server.provider
        with pytest.raises(RealtimeRefused, match="nothing listens at ws://127.0.0.1") as caught:
            await connection_to(provider, Ear()).open(CONFIG)
        assert not caught.value.fatal

    @pytest.mark.parametrize(
        ("answer", "fatal"), [(b"", False), (b"SIP/2.0 200 OK\r\n\r\n", False), (b"HTTP/1.1 200 OK\r\n\r\n", True)]
    )
    async def test_peer_is_no_websocket_server(self, answer, fatal):
        async def talk(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            provider = Provider(name="local", url=f"ws://127.0.0.1:{port}/v1", model="m", key="none")
            with pytest.raises(RealtimeRefused) as caught:
                await connection_to(provider, Ear()).open(CONFIG)
        assert caught.value.fatal is fatal

    @pytest.mark.parametrize(
        ("code", "reason", "fatal"),
        [
            (1000, "", False),
            (1011, "overloaded", False),
            (3000, "invalid_request_error.invalid_api_key", True),
            (4000, "invalid_request_error.beta_api_shape_disabled", True),
        ],
    )
    async def test_closed_at_once(self, peer, code, reason, fatal):
        async def scene(server, ws):
            await ws.close(code, reason)

        ear = Ear()
        async with peer(scene) as server:
            with pytest.raises(RealtimeRefused, match="before a session began") as caught:
                await connection_to(server.provider, ear).open(CONFIG)
        assert (caught.value.code, caught.value.fatal) == (code, fatal)
        assert reason in str(caught.value)
        assert ear.of(ConnectionLost) == []  # it was never had

    async def test_cut_at_once(self, peer):
        async def scene(server, ws):
            ws.transport.abort()

        async with peer(scene) as server:
            with pytest.raises(RealtimeRefused) as caught:
                await connection_to(server.provider, Ear()).open(CONFIG)
        assert (caught.value.code, caught.value.fatal) == (1006, False)

    async def test_answers_another_audio_format(self, peer):
        async def scene(server, ws):
            await server.greet(ws, output={"type": "audio/opus"})
            await server.listen(ws)

        ear = Ear()
        async with peer(scene) as server:
            with pytest.raises(RealtimeRefused, match="output audio is audio/opus, not pcmu") as caught:
                await connection_to(server.provider, ear).open(SessionConfig(output_format="pcmu"))
        assert caught.value.fatal and caught.value.settings
        assert ear.events == []

    async def test_settings_refused(self, peer):
        async def scene(server, ws):
            update = await server.hear(ws)
            error = {"type": "invalid_request_error", "code": "invalid_value", "event_id": update["event_id"]}
            await server.say(ws, type="error", error={**error, "message": "Invalid voice 'shouty'"})
            await server.listen(ws)

        async with peer(scene) as server:
            with pytest.raises(RealtimeRefused, match="invalid_value.*shouty") as caught:
                await connection_to(server.provider, Ear()).open(SessionConfig(voice="shouty"))
        assert caught.value.fatal

    async def test_says_nothing_at_all(self, peer):
        async def scene(server, ws):
            await server.listen(ws)

        async with peer(scene) as server:
            connection = connection_to(server.provider, Ear())
            with pytest.raises(RealtimeRefused, match="did not begin a session within 0.2 s") as caught:
                await connection.open(CONFIG, timeout_s=0.2)
            assert not caught.value.fatal
            assert not connection.is_open

    async def test_closing_while_opening_ends_the_opening(self, peer, until):
        async def scene(server, ws):
            await server.listen(ws)

        async with peer(scene) as server:
            connection = connection_to(server.provider, Ear())
            opening = asyncio.create_task(connection.open(CONFIG))
            await until(lambda: server.received, "the settings arrived")
            await connection.close()
            with pytest.raises(RealtimeRefused, match="closed by us"):
                await opening


class TestSending:
    async def test_frames_go_out_as_text_in_order(self, peer, until):
        async with peer(greet_and_listen) as server:
            connection = connection_to(server.provider, Ear())
            await connection.open(CONFIG)
            connection.append(b"\x01\x02")
            assert connection.send(connection.codec.message("user", "grüß dich"))
            connection.append(b"")
            connection.append(b"\x03\x04")
            await until(lambda: len(server.received) == 4, "all frames arrived")
            await connection.close()
        _, first, second, third = server.received
        assert base64.b64decode(first["audio"]) == b"\x01\x02"
        assert second["item"]["content"][0]["text"] == "grüß dich"
        assert base64.b64decode(third["audio"]) == b"\x03\x04"
        assert server.binary == 0

    async def test_without_a_session_nothing_is_kept(self, peer):
        async with peer(greet_and_listen) as server:
            connection = connection_to(server.provider, Ear())
            frame = connection.codec.message("user", "too early")
            assert not connection.send(frame)
            connection.append(b"\x01\x02")
            await connection.open(CONFIG)
            await connection.close()
            assert not connection.send(frame)
        assert [message["type"] for message in server.received] == ["session.update"]

    async def test_a_peer_that_stops_reading_loses_the_oldest_audio_only(self, peer, until):
        reads = asyncio.Event()

        async def scene(server, ws):
            await server.greet(ws)
            await reads.wait()
            await server.listen(ws)

        waiting, piece = 5, bytes(96_000)
        async with peer(scene, max_queue=1, max_size=None) as server:
            connection = connection_to(server.provider, Ear(), outbox=Outbox(audio_frames=waiting))
            await connection.open(CONFIG)
            number = 0
            while connection.dropped_audio < 3 * waiting and number < 2000:
                connection.append(number.to_bytes(4, "big") + piece)
                number += 1
                await asyncio.sleep(0)
            assert connection.dropped_audio == 3 * waiting, "the socket never filled"
            assert connection.send(connection.codec.tool_output("call_1", "{}"))
            reads.set()
            await until(lambda: server.received[-1].get("item"), "the control frame arrived")
            await connection.close()
        appends = [m["audio"] for m in server.received if m["type"] == "input_audio_buffer.append"]
        numbers = [int.from_bytes(base64.b64decode(audio)[:4], "big") for audio in appends]
        assert numbers == sorted(numbers)
        assert len(numbers) + connection.dropped_audio == number
        assert numbers[-waiting:] == list(range(number - waiting, number)), "the newest survive"

    async def test_control_frames_piling_up_end_the_connection(self, peer, until):
        ear, reads, outbox = Ear(), asyncio.Event(), Outbox(control_frames=4)

        async def scene(server, ws):
            await server.greet(ws)
            await reads.wait()

        async with peer(scene, max_queue=1, max_size=None) as server:
            connection = connection_to(server.provider, ear, outbox=outbox)
            await connection.open(CONFIG)
            for _ in range(2000):
                connection.append(bytes(96_000))
                await asyncio.sleep(0)
                if outbox:
                    break
            frame = connection.codec.cancel_response()
            assert [connection.send(frame) for _ in range(5)] == [True] * 4 + [False]
            await until(lambda: ear.of(ConnectionLost), "the loss is told")
            reads.set()
            await connection.close()
        assert ear.of(ConnectionLost) == [ConnectionLost(1013, "the provider stopped reading", False)]


class TestReceiving:
    async def test_bad_frames_don_t_end_the_session(self, peer, until):
        async def scene(server, ws):
            await server.greet(ws)
            await ws.send("not JSON at all {")
            await ws.send(b"\xff\xfe\x00binary")
            await ws.send("[1, 2]")
            await server.say(ws, type="response.hologram.delta", delta="...")
            await server.say(ws, type="response.output_audio.delta", item_id="i", response_id="r", delta="*not base64")
            await ws.send(json.dumps({"type": "rate_limits.updated", "padding": "x" * 2_000_000}))
            await server.say(ws, **SPEECH)
            await server.listen(ws)

        ear = Ear()
        async with peer(scene) as server:
            connection = connection_to(server.provider, ear)
            await connection.open(CONFIG)
            await until(lambda: ear.of(SpeechStarted), "the last event came through")
            assert connection.is_open
            await connection.close()
        assert [error.code for error in ear.of(realtime.ProviderError)] == ["bad_frame"] * 4
        assert not any(error.fatal for error in ear.of(realtime.ProviderError))
        assert ear.of(Unknown) == [Unknown("response.hologram.delta")]

    async def test_a_frame_beyond_all_measure_ends_it(self, peer, until):
        async def scene(server, ws):
            await server.greet(ws)
            await ws.send("x" * (9 * 1024 * 1024))
            await server.listen(ws)

        ear = Ear()
        async with peer(scene) as server:
            connection = connection_to(server.provider, ear)
            await connection.open(CONFIG)
            await until(lambda: ear.of(ConnectionLost), "the loss is told")
            await connection.close()
        assert [(lost.code, lost.fatal) for lost in ear.of(ConnectionLost)] == [(1009, False)]

    async def test_handler_that_raises_does_not_stop_the_reader(self, peer, until):
        async def scene(server, ws):
            await server.greet(ws)
            for _ in range(3):
                await server.say(ws, **SPEECH)
            await server.listen(ws)

        seen = []

        def handler(event):
            seen.append(event)
            raise RuntimeError("a bug of ours")

        async with peer(scene) as server:
            connection = connection_to(server.provider, handler)
            with capture_logs() as logs:
                await connection.open(CONFIG)
                await until(lambda: len(seen) == 4, "all events came")
            await connection.close()
        failures = [entry for entry in logs if entry["event"] == "realtime_event_handler_failed"]
        assert [entry["event_type"] for entry in failures] == ["SessionReady"] + ["SpeechStarted"] * 3
        assert {entry["call_id"] for entry in failures} == {"call-1"}


class TestLosses:
    @pytest.mark.parametrize("how", ["abort", "half a frame"])
    async def test_cut_in_mid_stream(self, peer, until, how):
        async def scene(server, ws):
            await server.greet(ws)
            await server.say(ws, **SPEECH)
            if how == "half a frame":
                ws.transport.write(b"\x81\x7e\x10\x00" + b'{"type":')
                ws.transport.close()
            else:
                await asyncio.sleep(0.05)  # abort() throws away what is not yet sent
                ws.transport.abort()

        ear = Ear()
        async with peer(scene) as server:
            connection = connection_to(server.provider, ear)
            await connection.open(CONFIG)
            await until(lambda: ear.of(ConnectionLost), "the loss is told")
            assert not connection.is_open
            assert not connection.send([b"{}"])
            await connection.close()
        assert len(ear.of(SpeechStarted)) == 1
        assert [(lost.code, lost.fatal) for lost in ear.of(ConnectionLost)] == [(1006, False)]

    @pytest.mark.parametrize(("code", "reason", "fatal"), [(1001, "60 minutes", False), (3000, "unauthorised", True)])
    async def test_closed_by_the_provider(self, peer, until, code, reason, fatal):
        async def scene(server, ws):
            await server.greet(ws)
            await ws.close(code, reason)

        ear = Ear()
        async with peer(scene) as server:
            connection = connection_to(server.provider, ear)
            await connection.open(CONFIG)
            await until(lambda: ear.of(ConnectionLost), "the loss is told")
            await connection.close()
        assert ear.of(ConnectionLost) == [ConnectionLost(code, reason, fatal)]

    @pytest.mark.parametrize(("code", "fatal"), [("session_expired", False), ("insufficient_quota", True)])
    async def test_an_error_before_the_close_decides_whether_to_come_back(self, peer, until, code, fatal):
        async def scene(server, ws):
            await server.greet(ws)
            await server.say(ws, type="error", error={"type": "x", "code": code, "message": f"it is {KEY}"})
            if fatal:
                await ws.close(1000)
            await server.listen(ws)  # an expired session is not waited upon: we close

        ear = Ear()
        async with peer(scene) as server:
            connection = connection_to(server.provider, ear)
            await connection.open(CONFIG)
            await until(lambda: ear.of(ConnectionLost), "the loss is told")
            await connection.close()
        (error,), (lost,) = ear.of(realtime.ProviderError), ear.of(ConnectionLost)
        assert (error.code, error.fatal, error.message) == (code, fatal, "it is ***")
        assert lost.fatal is fatal

    async def test_opens_again_after_a_loss_without_old_frames(self, peer, until):
        async def scene(server, ws):
            await server.greet(ws)
            if len(server.paths) == 1:
                ws.transport.abort()
            await server.listen(ws)

        ear = Ear()
        async with peer(scene) as server:
            connection = connection_to(server.provider, ear)
            await connection.open(CONFIG)
            connection.append(bytes(960))
            await until(lambda: ear.of(ConnectionLost), "the loss is told")
            connection.append(bytes(960))
            await connection.open(CONFIG)
            assert connection.send(connection.codec.message("user", "still there"))
            await until(lambda: server.received[-1]["type"] == "conversation.item.create", "it arrived")
            await connection.close()
        assert [m["type"] for m in server.received if m["type"] != "input_audio_buffer.append"] == [
            "session.update",
            "session.update",
            "conversation.item.create",
        ]
        assert len(ear.of(ConnectionLost)) == 1

    async def test_closing_twice_and_without_a_session_is_no_error(self, peer):
        async with peer(greet_and_listen) as server:
            connection = connection_to(server.provider, Ear())
            await connection.close()
            await connection.open(CONFIG)
            await connection.close()
            await connection.close()


class TestSecrets:
    async def test_key_is_in_no_log_at_any_level(self, peer, caplog, capsys):
        caplog.set_level(logging.DEBUG)
        async with peer(greet_and_listen, refuse=(401, f"no: {KEY}")) as server:
            with capture_logs() as logs, pytest.raises(RealtimeRefused):
                await connection_to(server.provider, Ear()).open(CONFIG)
        async with peer(greet_and_listen) as server:
            connection = connection_to(server.provider, Ear())
            await connection.open(CONFIG)
            connection.append(bytes(100))
            await connection.close()
        mine = [record for record in caplog.records if not record.name.startswith("websockets.server")]
        assert not [record for record in mine if KEY in record.getMessage()]
        assert KEY not in str(logs)
        output = capsys.readouterr()
        assert KEY not in output.out + output.err


class TestReconnectDelays:
    def test_at_once_then_doubling_up_to_the_limit(self):
        assert reconnect_delays() == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0]
        assert reconnect_delays(attempts=8)[-2:] == [4.0, 4.0]

    def test_spread_shortens_by_up_to_a_half(self):
        assert reconnect_delays(1.0) == [wait / 2 for wait in reconnect_delays(0.0)]

    def test_attempts_are_counted(self):
        assert reconnect_delays(attempts=1) == [0.0]
        assert reconnect_delays(attempts=0) == []


class TestSignOfLife:
    async def test_a_peer_that_reads_nothing_is_lost_and_one_that_says_nothing_is_not(self, peer):
        async def frozen(peer, ws):
            await peer.greet(ws)
            ws.transport.pause_reading()
            await asyncio.sleep(5)

        for script, lost in ((frozen, [(1011, "no answer to a ping within 0.2 s")]), (greet_and_listen, [])):
            ear = Ear()
            async with peer(script) as server:
                connection = connection_to(server.provider, ear)
                await connection.open(CONFIG)
                connection.probe(0.2)
                connection.probe(0.2)
                await asyncio.sleep(0.5)
                assert [(one.code, one.reason) for one in ear.of(ConnectionLost)] == lost
                assert connection.is_open is not bool(lost)
                await connection.close()

    async def test_one_that_is_closed_meanwhile_tells_nothing(self, peer):
        ear = Ear()
        async with peer(greet_and_listen) as server:
            connection = connection_to(server.provider, ear)
            connection.probe(0.1)
            await connection.open(CONFIG)
            connection.probe(None)
            connection.probe(0.1)
            await connection.close()
            await asyncio.sleep(0.2)
        assert ear.of(ConnectionLost) == []
