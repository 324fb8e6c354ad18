"""Spans of a call's trace as values, the names in them, and the one room that hands them to OpenTelemetry's SDK.

Below everybody who has something to tell: the workers' calls, and the tool workers' jobs.
"""
