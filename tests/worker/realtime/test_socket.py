"""The socket against a real WebSocket server."""

from contextlib import asynccontextmanager

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from worker.realtime.socket import RealtimeSocket


@asynccontextmanager
async def connected(scene):
    """A socket to a server that plays the scene, and the messages that the socket is given."""
    heard = []

    def attach(*args, **options):
        socket = RealtimeSocket(*args, **options)
        socket.on_message = lambda message: heard.append(bytes(message))
        return socket

    async with serve(scene, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", create_connection=attach, proxy=None) as socket:
            yield socket, heard


async def listening(ws):
    async for _ in ws:
        pass


async def test_messages_come_whole_and_in_order_from_the_first_on(until):
    async def scene(ws):
        await ws.send("first")
        await ws.send(["in ", "three ", "pieces"])
        await ws.send(b"\x00binary")
        await ws.send("\u00e4" * 70_000)
        await listening(ws)

    async with connected(scene) as (_, heard):
        await until(lambda: len(heard) == 4, "all came")
    assert heard == [b"first", b"in three pieces", b"\x00binary", "\u00e4".encode() * 70_000]


async def test_what_is_sent_now_arrives_as_text(until):
    came = []

    async def scene(ws):
        async for message in ws:
            came.append(message)

    async with connected(scene) as (socket, _):
        sent = [b"a", b"b" * 200, b"c" * 70_000, "\u00e4".encode()]
        assert [socket.send_now(message) for message in sent] == [True] * 4
        await until(lambda: len(came) == 4, "all arrived")
    assert came == ["a", "b" * 200, "c" * 70_000, "\u00e4"]
    assert not socket.send_now(b"after the end")


async def test_a_slow_peer_is_waited_for_and_told_of():
    writable = []
    async with connected(listening) as (socket, _):
        socket.on_writable = lambda: writable.append(True)
        socket.pause_writing()  # as the transport does when its buffer is full (test_connection.py fills one)
        assert not socket.send_now(b"x")
        assert not writable
        socket.resume_writing()
        assert writable == [True]
        assert socket.send_now(b"x")


async def test_the_loss_is_told_once_and_at_once_to_who_asks_late(until):
    async def scene(ws):
        await ws.close(4000, "enough")

    told = []
    async with connected(scene) as (socket, _):
        socket.when_lost(lambda: told.append("early"))
        await until(lambda: told, "the loss is told")
        socket.when_lost(lambda: told.append("late"))
    assert told == ["early", "late"]
    assert socket.protocol.close_exc.rcvd.reason == "enough"


async def test_a_deaf_one_tells_nothing(until):
    async def scene(ws):
        await ws.recv()
        await ws.send("unheard")
        await ws.close()

    told = []
    async with connected(scene) as (socket, heard):
        socket.when_lost(lambda: told.append("lost"))
        socket.deaf()
        socket.send_now(b"go")
        await socket.wait_closed()
    assert heard == told == []
