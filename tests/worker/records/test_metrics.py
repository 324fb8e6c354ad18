from prometheus_client.parser import text_string_to_metric_families

from worker.records.metrics import Metrics

FIXED_NAMES = {
    "offhook_calls_active",
    "offhook_calls",  # calls_total: the parser takes the suffix off a counter's family
    "offhook_turn_latency_seconds",
    "offhook_barge_in_seconds",
    "offhook_tool_wait_seconds",
    "offhook_tool_run_seconds",
    "offhook_playout_underruns",
    "offhook_callback_lateness_seconds",
    "offhook_loop_lag_seconds",
}


def families(metrics: Metrics):
    return {family.name: family for family in text_string_to_metric_families(metrics.exposition().decode())}


def test_the_names_that_others_rely_on_are_there_with_help() -> None:
    found = families(Metrics())
    assert found.keys() >= FIXED_NAMES
    assert all(family.documentation for family in found.values())


def test_two_workers_in_one_process_do_not_share_a_registry() -> None:
    first, second = Metrics(), Metrics()
    first.calls_active.inc()
    assert families(second)["offhook_calls_active"].samples[0].value == 0


def test_labels_are_as_designed() -> None:
    metrics = Metrics()
    metrics.calls_total.labels(outcome="failed").inc()
    metrics.tool_wait.labels(tool="order_status").observe(0.02)
    metrics.tool_run.labels(tool="order_status").observe(4)
    text = metrics.exposition().decode()
    assert 'offhook_calls_total{outcome="failed"} 1.0' in text
    assert 'offhook_tool_wait_seconds_bucket{le="0.025",tool="order_status"} 1.0' in text
    assert 'offhook_tool_run_seconds_sum{tool="order_status"} 4.0' in text
