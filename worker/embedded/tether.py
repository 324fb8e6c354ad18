"""Run a program that ends when its parent ends: `python -I -S tether.py PARENT_PID PROGRAM [ARGUMENT ...]`.

Asks the kernel (Linux: prctl(2), PR_SET_PDEATHSIG) for SIGTERM at the parent's death and becomes the program; the wish
survives the exec. It is a program of its own because the other way, code between fork and exec, can deadlock in a
process with threads (Python 3.12 warns of it), and the worker has the SIP library's. On other systems it makes no wish.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Become the program."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:  # it died before the wish
            sys.exit(1)
    try:
        os.execvp(program[0], program)
    except OSError as error:
        sys.exit(f"can't start {program[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
