"""The calling side of the queue, and the only door to Redis.

Enqueue, wait, cancel; what is kept there beside the jobs, and every name that it has.
"""
