"""Redis, tool worker and realtime server as children of the worker, where nothing is configured."""
