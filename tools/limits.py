"""How large what crosses the queue may be: both of its sides, and whoever checks an argument, hold to the same."""

RESULT_LIMIT = 64 * 1024
"""Bytes of JSON that a result may have."""
STEP_LIMIT = 4 * 1024 * 1024
"""The same of a tool that only another tool reads."""
ARGUMENTS_LIMIT = 64 * 1024
"""Characters of JSON that the model may send."""
