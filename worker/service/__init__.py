"""One worker process: calls accepted, paced, watched and drained."""
