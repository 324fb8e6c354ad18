import os
import subprocess
import sys

from worker.embedded.children import TETHER


def tethered(parent: int, *command: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-I", "-S", str(TETHER), str(parent), *command]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=10)


def test_it_becomes_the_program_with_its_arguments_and_exit_code() -> None:
    done = tethered(os.getpid(), "sh", "-c", 'echo "$0 $1"; exit 7', "one", "two words")
    assert (done.returncode, done.stdout, done.stderr) == (7, "one two words\n", "")


def test_it_starts_nothing_when_the_parent_has_died_before() -> None:
    if sys.platform == "linux":
        done = tethered(os.getppid(), "echo", "started")
        assert (done.returncode, done.stdout) == (1, "")


def test_a_missing_program_is_one_line() -> None:
    done = tethered(os.getpid(), "/nowhere/program")
    assert done.returncode == 1 and done.stderr == "can't start /nowhere/program: No such file or directory\n"
