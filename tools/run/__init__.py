"""One tool call from the request to its outcome: the one door for it, and how it is run.

A tool's fault, the model's and Redis' are outcomes with words; only our own bugs raise.
"""
