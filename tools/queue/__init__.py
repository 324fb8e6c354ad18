"""The calling side of the queue, and the only door to Redis."""
