from typing import get_args

from openai.types.realtime.realtime_server_event import RealtimeServerEvent

from worker.realtime.openai.wire import IGNORED, OLD_NAMES, merged

TYPES = {get_args(model.model_fields["type"].annotation)[0] for model in get_args(get_args(RealtimeServerEvent)[0])}


def test_ignored_types_all_exist_and_are_no_old_names():
    assert IGNORED <= TYPES
    assert not IGNORED & set(OLD_NAMES)


def test_new_names_all_exist():
    assert set(OLD_NAMES.values()) <= TYPES


def test_merged_goes_deep_and_changes_neither():
    below = {"audio": {"input": {"format": 1}, "output": {"voice": "a"}}, "tools": [1]}
    over = {"audio": {"output": {"voice": "b", "speed": 2}}, "tools": [2], "truncation": None}
    assert merged(below, over) == {
        "audio": {"input": {"format": 1}, "output": {"voice": "b", "speed": 2}},
        "tools": [2],
        "truncation": None,
    }
    assert below["audio"]["output"] == {"voice": "a"}
