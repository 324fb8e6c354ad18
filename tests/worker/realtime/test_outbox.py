from hypothesis import given
from hypothesis import strategies as st

from worker.realtime.outbox import Outbox


def emptied(outbox):
    frames = []
    while (frame := outbox.pop()) is not None:
        frames.append(frame)
    return frames


def test_frames_come_out_in_order():
    outbox = Outbox()
    outbox.put_audio(b"a1")
    outbox.put(b"c1")
    outbox.put_audio(b"a2")
    assert len(outbox) == 3
    assert emptied(outbox) == [b"a1", b"c1", b"a2"]
    assert outbox.pop() is None


def test_oldest_audio_is_dropped_and_control_frames_never():
    outbox = Outbox(audio_frames=2)
    outbox.put(b"c1")
    for name in (b"a1", b"a2", b"a3", b"a4"):
        outbox.put_audio(name)
    outbox.put(b"c2")
    assert outbox.dropped_audio == 2
    assert emptied(outbox) == [b"c1", b"a3", b"a4", b"c2"]


def test_control_frames_over_their_limit_are_refused():
    outbox = Outbox(audio_frames=9, control_frames=2)
    outbox.put_audio(b"a1")
    assert [outbox.put(b"c1"), outbox.put(b"c2"), outbox.put(b"c3")] == [True, True, False]
    outbox.pop(), outbox.pop()
    assert outbox.put(b"c3")
    assert emptied(outbox) == [b"c2", b"c3"]


def test_cleared_outbox_has_all_its_room_again():
    outbox = Outbox(audio_frames=1)
    outbox.put_audio(b"a1")
    outbox.clear()
    outbox.put_audio(b"a2")
    assert outbox.dropped_audio == 0
    assert emptied(outbox) == [b"a2"]


@given(st.lists(st.sampled_from(["audio", "control", "pop"]), max_size=200), st.integers(1, 5), st.integers(1, 5))
def test_invariants_under_any_order(steps, audio_frames, control_frames):
    outbox = Outbox(audio_frames, control_frames)
    accepted, out, audio_in = [], [], 0
    for number, step in enumerate(steps):
        if step == "pop":
            frame = outbox.pop()
            out += [frame] if frame is not None else []
            continue
        frame = f"{step}{number:04}".encode()
        if step == "audio":
            outbox.put_audio(frame)
            audio_in += 1
            accepted.append(frame)
        elif outbox.put(frame):
            accepted.append(frame)
        assert len(outbox) <= audio_frames + control_frames
    out += emptied(outbox)
    assert out == [frame for frame in accepted if frame in out], "order is kept, nothing comes twice"
    assert [f for f in out if f.startswith(b"c")] == [f for f in accepted if f.startswith(b"c")]
    assert sum(f.startswith(b"a") for f in out) + outbox.dropped_audio == audio_in
