"""What a transfer takes, by each of its ways, and what the caller hears meanwhile: a real worker on loopback.

    uv run python tests/bench/transfer.py [refer bridge attended] [--calls 10] [--pjsua2 WHEEL]

The realtime service is played: it says 1.5 s of a tone and asks for the transfer in the same response. Times are those
at which packets come to the telephones: the words' end is the caller's last audible packet before the REFER, or before
the INVITE to the target. For `bridge` the caller's side refuses REFER; the target rings for a second.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "e2e"))
sys.path.append(str(Path(__file__).parents[2]))

from parts.provider import Provider, Session
from parts.services import RedisServer, Worker
from rig.figures import again, machine, row
from rig.sip import Dialog, Message
from rig.telephone import Telephone

WAYS = ("refer", "bridge", "attended")
WORDS_HZ, WORDS_MS = 650, 1500
AGENT = """
goodbye = "Goodbye."
[[transfer]]
label = "bridge"
uri = "sip:200@127.0.0.1:{port}"
[[transfer]]
label = "attended"
uri = "sip:201@127.0.0.1:{port}"
ways = ["attended"]
"""


class Figures(dict[str, list[float]]):
    """Values in ms, by what they are of."""

    def add(self, name: str, seconds: float) -> None:
        self.setdefault(name, []).append(seconds * 1000)


def refers(telephone: Telephone, request: Message) -> bool:
    """The caller's side of a REFER: it takes it, and its call goes well at once."""
    if request.method != "REFER":
        return False
    telephone.send(telephone.answer(request, "202 Accepted"))
    for number, (state, line) in enumerate((("active", "100 Trying"), ("terminated;reason=noresource", "200 OK"))):
        assert telephone.dialog is not None
        body = f"SIP/2.0 {line}\r\n"
        telephone.send(notify(telephone.dialog, number + 2, state, body))
    return True


def notify(dialog: Dialog, sequence: int, state: str, body: str) -> bytes:
    found = dialog._request("NOTIFY", dialog.contact, sequence, f"{dialog.branch}n{sequence}", body).decode()
    headers = f"Event: refer\r\nSubscription-State: {state}\r\nContent-Type: message/sipfrag;version=2.0\r\n"
    return found.replace("Content-Type: application/sdp\r\n", headers).encode()


def declines(telephone: Telephone, request: Message) -> bool:
    """A caller's side without REFER."""
    if request.method != "REFER":
        return False
    telephone.send(telephone.answer(request, "405 Method Not Allowed"))
    return True


def rings(telephone: Telephone, request: Message) -> bool:
    """The target: it rings."""
    if request.method != "INVITE":
        return False
    telephone.send(telephone.answer(request, "180 Ringing"))
    return True


def hand_on(caller: Telephone, session: Session, to: str) -> None:
    response_id = session.begin()
    session.speak(response_id, WORDS_HZ, WORDS_MS)
    session.call(response_id, "transfer_call", {"to": to, "summary": "The caller wants shoes."})
    session.end(response_id)


def one(way: str, worker: Worker, provider: Provider, target: Telephone, figures: Figures) -> None:
    """One call that is handed on."""
    caller = Telephone(refers if way == "refer" else declines)
    try:
        target.requests.clear()
        target.heard.clear()
        provider.forget()
        caller.dial(worker.port)
        session = provider.session()
        caller.wait(lambda: any(message.status == 200 for _, message in list(caller.responses)))
        time.sleep(0.3)
        hand_on(caller, session, "bridge" if way == "refer" else way)
        asked = caller.when("REFER") if way != "attended" else target.when("INVITE")
        ended = caller.last_heard(asked)
        figures.add(f"{way}: words' end to {'REFER' if way != 'attended' else 'INVITE'}", asked - ended)
        if way == "refer":
            figures.add("refer: words' end to our BYE (target answers at once)", caller.when("BYE") - ended)
            return
        if way == "bridge":
            figures.add("bridge: words' end to INVITE", target.when("INVITE") - ended)
        answered(way, caller, target, figures, ended)
    finally:
        target.loud = False
        if caller.dialog is not None and way != "refer":
            caller.send(caller.dialog.bye())
        time.sleep(0.3)
        caller.close()


def answered(way: str, caller: Telephone, target: Telephone, figures: Figures, ended: float) -> None:
    """The target picks up after a second, and the two hear each other."""
    time.sleep(1.0)
    figures.add(f"{way}: longest silence of the caller until it is answered", longest(caller, ended))
    at = time.monotonic()
    target.pick_up(next(message for _, message in target.requests if message.method == "INVITE"))
    target.loud = True
    if way == "attended":
        target.first_heard("sound", at)
        time.sleep(1.2)  # the briefing is over
        at = target.press("1")
    figures.add(f"{way}: {'key 1' if way == 'attended' else '200'} to the target's voice heard", heard(caller, at))
    caller.loud, sent = True, time.monotonic()
    figures.add(f"{way}: connected, mouth to ear", target.first_heard("voice", sent) - sent)
    caller.loud = False


def heard(caller: Telephone, since: float) -> float:
    return caller.first_heard("voice", since) - since


def longest(caller: Telephone, since: float) -> float:
    """The longest span without an audible packet since then."""
    times = [since, *(at for at, what in caller.heard if what and at > since), time.monotonic()]
    return max(after - before for before, after in zip(times, times[1:], strict=False))


@contextlib.contextmanager
def running(folder: Path, site: Path | None, port: int) -> Iterator[tuple[Worker, Provider]]:
    """A worker with a realtime service that this bench plays."""
    agent = folder / "agent.toml"
    agent.write_text(AGENT.format(port=port))
    redis, provider = RedisServer(folder), Provider().start()
    redis.start()
    settings = {"REDIS_URL": redis.url, "OFFHOOK_AGENT": agent, "OFFHOOK_REALTIME_URL": provider.url}
    if site is not None:
        settings["PYTHONPATH"] = site
    worker = Worker(folder / "calls", OFFHOOK_REALTIME="gateway", **settings).ready()
    try:
        yield worker, provider
    finally:
        worker.stop()
        provider.stop()
        redis.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", default=WAYS)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--pjsua2", type=Path, help="a wheel of our own build")
    options = parser.parse_args()
    print(again("transfer.py"), machine(), sep="\n")
    target = Telephone(rings)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder, site = Path(name), None
        if options.pjsua2 is not None:
            site = folder / "site"
            zipfile.ZipFile(options.pjsua2).extractall(site)
        figures = Figures()
        with running(folder, site, target.port) as (worker, provider):
            for way in options.ways:
                for _ in range(options.calls):
                    one(way, worker, provider, target, figures)
        for title, values in figures.items():
            print(row(title, values))
    target.close()


if __name__ == "__main__":
    main()
