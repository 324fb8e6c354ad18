"""One worker process: started, and what it accepts, paces, watches, drains and stops.

The calls themselves are `worker.call`'s; here they are begun, driven and counted.
"""
