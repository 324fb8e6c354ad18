"""Realtime providers: what they have in common, their codecs (pure) and the connection (I/O)."""
