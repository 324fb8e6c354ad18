"""A tool that keeps the worker's process busy until it is let go."""

from __future__ import annotations

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools import tool

GATE = Path(os.environ.get("SHOP_FOLDER", ".")) / "burner.open"
THREADS = 6
"""More than cores: on a busy machine, too, the process gets a core's worth."""
GIVE_UP_S = 40.0


@tool(mode="inline", timeout=60)
def burn() -> str:
    """Reckon for nothing; Python's lock is free meanwhile."""
    give_up = time.monotonic() + GIVE_UP_S

    def reckon() -> None:
        while not GATE.exists() and time.monotonic() < give_up:
            hashlib.pbkdf2_hmac("sha256", b"offhook", b"salt", 20_000)

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(THREADS):
            pool.submit(reckon)
    return "burnt"
