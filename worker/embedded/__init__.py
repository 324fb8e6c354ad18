"""Redis, tool worker and realtime server as children of the worker, where nothing is configured.

They are started again when they die, and end with their parent whatever became of it.
"""
