from __future__ import annotations

from typing import Any

import structlog

from telephony import binding


def test_what_the_build_says_of_itself(run_python: Any, build: str) -> None:
    run_python(f"""
from telephony import binding
assert binding.build().startswith("pjsua2-python 2."), binding.build()
assert binding.tls_library().startswith("OpenSSL "), binding.tls_library()
assert ("1.0" in binding.tls_library()) == ({build!r} == "installed")
print("good")
""")


def test_a_callback_keeps_its_exception() -> None:
    class Called:
        @binding.guarded
        def good(self, value: int) -> int:
            return value + 1

        @binding.guarded
        def bad(self) -> None:
            raise RuntimeError("broken")

    with structlog.testing.capture_logs() as lines:
        assert Called().good(1) == 2
        assert Called().bad() is None
    assert [(line["event"], line["callback"].rpartition(".")[2]) for line in lines] == [("sip_callback_failed", "bad")]


def test_no_pjsua2_says_how_to_mend_it(run_python: Any) -> None:
    run_python("""
import sys
sys.modules["pjsua2"] = None
try:
    import telephony.binding
except ImportError as error:
    assert "docker/build-pjsua2" in str(error) and "pip install pjsua2-python" in str(error)
    print("good")
""")


def test_an_unknown_symbol() -> None:
    assert binding._symbol("pj_no_such_function") is None
