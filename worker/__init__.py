"""The worker: what answers a call, runs its session and writes its record."""
