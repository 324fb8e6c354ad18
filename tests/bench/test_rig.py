"""The benches' own measures: a place found wrongly would be a figure that is wrong."""

from __future__ import annotations

import base64
import struct
import sys
import time
from pathlib import Path

import numpy as np
import orjson
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from rig import audio, sip, srtp, ws
from rig.figures import quantile
from rig.late_ticks import late_ticks, lines
from rig.load_figures import beat, numbered
from rig.load_protocol import APPEND_END, APPEND_HEAD, audio_bytes, delta_head
from rig.mmsg import Outgoing, Receiver, udp
from rig.probe import Seen
from rig.rtp_load import RtpLoad, Taken
from rig.tones import AGENT_HZ, CALLER_HZ, Gauge, Verdict, judge, tone
from rig.variant import Variant


def test_ulaw_takes_the_nearest_step() -> None:
    assert audio.ulaw(audio.DECODE.astype(int))[:127] == bytes(range(127))
    assert audio.linear(audio.SILENT).tolist() == [0] * audio.FRAME
    samples = np.arange(-32000, 32000, 7)
    error = np.abs(audio.linear(audio.ulaw(samples)) - samples)
    assert np.all(error <= np.maximum(4, np.abs(samples) / 16))


@pytest.mark.parametrize("end_ms", [20, 240, 4980])
def test_a_packet_is_found_where_it_was_said(end_ms: int) -> None:
    packets = audio.phone_noise(5000, 1)
    place, sure = audio.place_of(packets[end_ms // 20 - 1], 5000)
    assert place == end_ms and sure > 0.99


def test_other_audio_is_not_found() -> None:
    assert audio.place_of(audio.phone_noise(5000, 2)[7], 5000)[1] < 0.6
    assert audio.place_of(audio.SILENT, 5000)[1] == 0


@pytest.mark.parametrize("piece", [320, 480, 7])
def test_each_pulse_is_found_once(piece: int) -> None:
    stream = np.frombuffer(b"".join(audio.linear(frame).tobytes() for frame in audio.pulses(5) * 4), "<i2")
    onsets = audio.Onsets(audio.PHONE_HZ)
    pieces = [stream[at : at + piece].tobytes() for at in range(0, len(stream), piece)]
    assert sum(onsets.found(one) for one in pieces) == 4


def test_quantile_is_a_value_that_was_measured() -> None:
    assert quantile([1, 2, 3, 4], 0.5) == 2
    assert quantile(list(range(1, 101)), 0.99) == 99


def test_sip_round_trip() -> None:
    dialog = sip.Dialog("agent@127.0.0.1:5060", 5062, 4000)
    invite = sip.parse(dialog.invite())
    assert invite is not None and invite.method == "INVITE" and sip.media_address(invite.body) == ("127.0.0.1", 4000)
    answer = sip.parse(sip.response_200(invite))
    assert answer is not None and (answer.status, answer.method) == (200, "INVITE")
    assert answer.one("call-id") == dialog.call_id
    assert sip.parse(b"\r\n\r\n") is None


# --- what density.py measures with


def pieces(rate_hz: int = 8000, count: int = 200) -> np.ndarray:
    """A tone as the telephone carries it, in pieces of 20 ms."""
    samples = tone(AGENT_HZ, rate_hz).astype(np.float32)
    if rate_hz == 8000:
        samples = audio.linear(audio.ulaw(samples)).astype(np.float32)
    return np.resize(samples, (count, rate_hz // 50))


def judged(audio_: np.ndarray, number: list[int] | None = None, rate_hz: int = 8000) -> Verdict:
    numbers = np.arange(len(audio_)) if number is None else np.array(number)
    return judge(np.zeros(len(audio_), np.int64), numbers, Gauge(AGENT_HZ, rate_hz).measure(audio_))


@pytest.mark.parametrize("rate_hz", [8000, 24000])
def test_a_tone_that_came_whole_has_no_fault(rate_hz: int) -> None:
    assert judged(pieces(rate_hz, 600), rate_hz=rate_hz) == Verdict(600, 0, 0, 0, 0)


def test_silence_is_told_from_loss() -> None:
    whole = pieces()
    whole[7] = 0
    assert judged(whole) == Verdict(200, 0, 1, 0, 0)
    kept = [number for number in range(200) if number not in (50, 51)]
    assert judged(pieces()[kept], kept) == Verdict(198, 2, 0, 0, 0)


@pytest.mark.parametrize("skipped", [*range(1, 18), 50])
def test_audio_that_was_left_out_is_a_jump(skipped: int) -> None:
    whole = pieces()
    assert judged(np.concatenate([whole[:100], whole[100 + skipped :]])).jumps == 1
    assert judged(np.concatenate([whole[:100], whole[100 - skipped :]])).jumps == 1


@pytest.mark.parametrize("hurt", ["gap", "click", "soft", "another"])
def test_a_piece_that_is_not_the_tone_is_damaged(hurt: str) -> None:
    whole = pieces()
    if hurt == "gap":
        whole[9, 70:78] = 0
    elif hurt == "click":
        whole[9, 3:6] = 16000
    elif hurt == "soft":
        whole[9] *= 0.7
    else:
        whole[9] = tone(CALLER_HZ, 8000)[:160]
    verdict = judged(whole)
    assert verdict.damaged + verdict.silent == 1 and verdict.lost == 0


def test_streams_are_judged_apart_and_in_any_order() -> None:
    one, other = pieces()[:50], pieces()[100:150]
    measured = Gauge(AGENT_HZ, 8000).measure(np.concatenate([one, other]))
    mixed = np.random.default_rng(1).permutation(100)
    stream, number = np.repeat([3, 4], 50)[mixed], np.tile(np.arange(50), 2)[mixed]
    assert judge(stream, number, measured[mixed]) == Verdict(100, 0, 0, 0, 0)


def test_packets_are_numbered_over_the_end_of_the_sequence() -> None:
    stream = np.array([1, 2, 1, 2, 1, 1])
    sequence = np.array([65534, 7, 65535, 9, 1, 0])
    order, number = numbered(stream, sequence)
    assert stream[order].tolist() == [1, 1, 1, 1, 2, 2] and number.tolist() == [0, 1, 3, 2, 0, 2]


def test_lateness_is_against_the_stream_s_own_beat() -> None:
    stream, number = np.repeat([5, 6], 11), np.tile(np.arange(11), 2)
    at = number * 20.0 + np.repeat([100.0, 104.0], 11)
    at[3] += 7
    off = beat(at, stream, number)
    assert off[3] == pytest.approx(7) and np.delete(off, 3).max() < 1e-9


@pytest.mark.parametrize(("step", "sizes"), [(1, (1, 125, 126, 3000)), (1000, (70000, 5)), (1 << 20, (1, 70000, 126))])
def test_frames_are_cut_wherever_the_stream_was_cut(step: int, sizes: tuple[int, ...]) -> None:
    texts = [bytes(range(256)) * (size // 256) + b"a" * (size % 256) for size in sizes]
    stream = b"".join(client_frame(text) for text in texts)
    frames, found = ws.Frames(), []
    for at in range(0, len(stream), step):
        for kind, data, mask, begin, end in frames.feed(stream[at : at + step]):
            assert kind == ws.TEXT
            found.append(ws.unmasked(data[begin:end], mask))
    assert found == texts


def client_frame(payload: bytes, mask: bytes = b"\x11\xa2\x03\x94") -> bytes:
    head = ws.frame(payload)[: -len(payload)]
    return bytes([head[0], head[1] | 0x80]) + head[2:] + mask + ws.unmasked(payload, mask)


def test_the_handshake_is_the_one_of_the_standard() -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in ws.accept(request)  # RFC 6455, 1.3
    with pytest.raises(ValueError, match="Sec-WebSocket-Key"):
        ws.accept(b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize("size", [318, 319, 320, 1920])
def test_appended_audio_is_counted_without_decoding(size: int) -> None:
    frame = client_frame(APPEND_HEAD + base64.b64encode(bytes(size)) + APPEND_END)
    ((_, data, mask, begin, end),) = ws.Frames().feed(frame)
    assert audio_bytes(data, mask, begin, end) == size


def test_a_delta_is_one_frame_with_ids_of_its_own() -> None:
    tail = base64.b64encode(bytes(4800)) + b'"}'
    whole = delta_head("37_0", len(tail)) + tail
    assert whole[:4] == bytes([ws.TEXT, 126]) + (len(whole) - 4).to_bytes(2, "big")
    event = orjson.loads(whole[4:])
    assert event["item_id"] == "item_37_0" and base64.b64decode(event["delta"]) == bytes(4800)


def test_many_packets_go_and_come_with_the_kernel_s_time() -> None:
    with udp(sip.OWN) as sender, udp(sip.OWN) as receiver:
        before = time.time_ns()
        packets = Outgoing(sender, sip.OWN, 64, 172)
        packets.data[:40, 0] = np.arange(40)
        packets.port[:40] = receiver.getsockname()[1]
        assert packets.send(40) == 40
        batch = Receiver(receiver).take()
        assert batch is not None and batch.data[:, 0].tolist() == list(range(40))
        assert set(batch.port.tolist()) == {sender.getsockname()[1]} and set(batch.size.tolist()) == {172}
        assert before <= batch.at.min() and batch.at.max() <= time.time_ns()
        assert Receiver(receiver).take() is None


def test_a_packet_that_can_t_be_sent_does_not_keep_the_others() -> None:
    with udp(sip.OWN) as sender, udp(sip.OWN) as receiver:
        packets = Outgoing(sender, sip.OWN, 8, 172)
        packets.port[:3] = [receiver.getsockname()[1], 0, receiver.getsockname()[1]]  # there is no port 0: EINVAL
        packets.send(3)
        batch = Receiver(receiver).take()
        assert batch is not None and len(batch.at) == 2


def test_messages_are_found_in_a_stream_however_it_was_cut() -> None:
    dialog = sip.Dialog("agent@127.0.0.1:5061", 5062, 4000, transport="TLS", crypto=srtp.crypto(bytes(30)))
    whole, stream = b"\r\n\r\n".join([dialog.invite(), dialog.invite(), b""]), sip.Stream()
    found = [one for at in range(0, len(whole), 7) for one in stream.fed(whole[at : at + 7])]
    assert len(found) == 2 and found[0].one("via").startswith("SIP/2.0/TLS ") and found[0].body == found[1].body
    assert "RTP/SAVP" in found[0].body and sip.crypto_key(found[0].body) == bytes(30)


def test_srtp_is_heard_and_sent_with_each_call_s_keys() -> None:
    own, theirs = srtp.new_key(), srtp.new_key()
    worker, stranger = srtp.Crypt(theirs, own), srtp.Crypt(srtp.new_key(), own)
    frames = np.frombuffer(audio.ulaw(tone(AGENT_HZ, 8000)), np.uint8).reshape(-1, audio.FRAME)
    load = RtpLoad(key=own)
    with udp(sip.OWN) as line, udp(sip.OWN) as other:
        load.keys({one.getsockname()[1]: theirs for one in (line, other)})
        load.begin()
        for number, frame in enumerate(frames[:20]):
            head = struct.pack(">BBHI4s", 0x80, 0, 65530 + number & 0xFFFF, number * audio.FRAME, b"\0\0\0\7")
            line.sendto(worker.sealed(head + frame.tobytes()), (sip.OWN, load.port))
            other.sendto(stranger.sealed(head + frame.tobytes()), (sip.OWN, load.port))
            time.sleep(0.02)
        taken = load.end()
        batch = Receiver(line).take()
        load.stop()
    assert len(taken.at) == 20 and taken.other == 20 and taken.began == 1
    order, number = numbered(taken.stream, taken.sequence)
    assert judge(taken.stream[order], number, taken.measured[order]) == Verdict(20, 0, 0, 0, 0)
    assert batch is not None and len(batch.at) >= 10
    sent = [worker.opened(row[:size].tobytes()) for row, size in zip(batch.data, batch.size, strict=True)]
    heard = np.frombuffer(b"".join(one[12:] for one in sent if one is not None), np.uint8).reshape(-1, audio.FRAME)
    measured = Gauge(CALLER_HZ, 8000).measure(audio.DECODE.astype(np.float32)[heard])
    assert judge(np.zeros(len(heard), np.int64), np.arange(len(heard)), measured) == Verdict(len(batch.at), 0, 0, 0, 0)


@pytest.mark.parametrize("away_ms", [0, 5])
def test_a_late_tick_is_the_machine_s_where_the_core_was_away(away_ms: int) -> None:
    beats, at0 = 50, 1_700_000_000_000_000_000
    at = at0 + np.tile(np.arange(beats) * 20_000_000, 3) + np.repeat([0, 100_000, 200_000], beats)
    at[[30, beats + 30, 2 * beats + 30]] += 5_000_000
    stream, sequence = np.repeat([1, 2, 3], beats), np.tile(np.arange(beats), 3)
    nothing = np.zeros((len(at), 3), np.float32)
    taken = Taken(at, stream, sequence, nothing, 0, 0, 0, 0, np.zeros(0), 0.0)
    (tick,) = late_ticks(taken)
    assert tick.packets == 3 and tick.worst_ms == pytest.approx(5) and tick.came == at[30]
    seen = Seen(True, 1000, [at0 + 605_000_000, at0 + 900_000_000], [away_ms * 1_000_000, 9_000_000])
    assert seen.away(tick.begin, tick.came) == away_ms * 1_000_000
    assert f"at {int(away_ms > 0)} of them the worker's core" in "\n".join(lines(taken, {0: seen}))


def test_a_variant_is_made_of_words() -> None:
    made = Variant().but(["ref=HEAD", "format=pcmu", "OFFHOOK_MAX_CALLS=7"])
    assert made.ref == "HEAD" and made.settings() == {"OFFHOOK_REALTIME_AUDIO": "g711", "OFFHOOK_MAX_CALLS": "7"}
    with pytest.raises(ValueError, match="NAME=VALUE"):
        made.but(["HEAD"])
    with pytest.raises(ValueError, match="no format"):
        made.but(["format=opus"])
    with pytest.raises(ValueError, match="TLS speak PCMU"):
        made.but(["sip=tls", "codec=G722"])
