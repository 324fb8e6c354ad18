import inspect

import pytest

from worker import errors
from worker.errors import AgentFileError, OffhookError, OperatorError, SettingsError


def test_every_error_is_in_the_tree_and_drawn_in_the_module_docstring() -> None:
    found = [thing for _, thing in inspect.getmembers(errors, inspect.isclass) if issubclass(thing, Exception)]
    assert len(found) > 5
    for error in found:
        assert issubclass(error, OffhookError)
        assert error.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("kind", [SettingsError, AgentFileError])
def test_what_the_operator_got_wrong_ends_with_2_and_keeps_its_lines(kind: type[OperatorError]) -> None:
    assert kind("one").lines == ("one",)
    error = kind(["one", "two"])
    assert str(error) == "one\ntwo" and error.exit_code == 2
