"""Keys for what is sealed, and recordings opened."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from worker.errors import OperatorError


def keys(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="recordings: a pair; digits: one for both sides.")],
) -> None:
    """Make keys: a pair for encrypted recordings, or the one for digits on their way to a tool worker."""
    from worker.records.sealed import new_keys, require_sealing

    require_sealing()
    if what == "recordings":
        public, secret = new_keys()
        print(f"OFFHOOK_RECORDINGS_KEY={public}")
        print(secret)
        print("offhook: the second line opens the recordings: keep it away from the workers", file=sys.stderr)
    elif what == "digits":
        from tools.queue.sealed_digits import new_key

        print(f"OFFHOOK_DIGITS_KEY={new_key()}")
        print("offhook: for every worker and tool worker of this Redis, and nobody else", file=sys.stderr)
    else:
        raise OperatorError(f"keys {what}: it takes recordings or digits")


def decrypt(
    file: Annotated[Path, typer.Argument(help="The recording, as CALL.wav.sealed.", exists=True, dir_okay=False)],
    key: Annotated[Path, typer.Option(help="A file with the secret key, or - for standard input.", allow_dash=True)],
    out: Annotated[Path | None, typer.Option(help="The WAV file; left out: beside it, as CALL.wav.")] = None,
) -> None:
    """Open an encrypted recording with the secret key."""
    from worker.records.sealed import SUFFIX, open_sealed, secret_key

    target = out if out is not None else file.with_name(file.name.removesuffix(SUFFIX) + ".wav")
    try:
        secret = secret_key(sys.stdin.readline() if str(key) == "-" else key.read_text("utf-8"))
        whole = open_sealed(file, secret, target)
    except (ValueError, OSError) as error:
        raise OperatorError(f"{key if isinstance(error, ValueError) else file}: {error}") from None
    print(target)
    if not whole:
        print("offhook: it ends early: its worker died, or writes still", file=sys.stderr)
