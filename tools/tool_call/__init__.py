"""One tool call as values: what was asked, how it ended, what the model sees of that, how long it takes.

Pure, and shared by both sides of the queue.
"""
