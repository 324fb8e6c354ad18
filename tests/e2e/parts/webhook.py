"""A receiver of webhooks: an HTTP server on loopback that answers what the scene says."""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Delivery:
    """One POST that came, and how it was answered."""

    headers: dict[str, str]
    body: bytes
    answer: int

    @property
    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class Receiver:
    """Keeps every POST; `answers` are the next ones' status, then it is 204."""

    def __init__(self) -> None:
        self.answers: deque[int] = deque()
        self.deliveries: list[Delivery] = []
        keep, answers = self.deliveries, self.answers

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = answers.popleft() if answers else 204
                self.send_response(status)
                self.end_headers()
                keep.append(Delivery(dict(self.headers), body, status))

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/told"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def of(self, call_id: str) -> list[Delivery]:
        """What came of a call."""
        return [one for one in list(self.deliveries) if one.told["call_id"] == call_id]

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()
