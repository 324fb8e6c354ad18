"""The local realtime server's other protocol: Google's Live API, with its own wire code."""
