"""One tool call: the one door for it, how it is run, and how it ended."""
