"""The agent of the benches: it says nothing by itself, and never hangs up."""

from pathlib import Path

AGENT = f"""
greeting = ""
instructions = "A bench."
[tools]
modules = ["{Path(__file__).with_name("bench_tools.py")}"]
[fillers]
grace_ms = 500
[limits]
silence_seconds = 3600.0
"""
