"""The local realtime server: a program of its own that speaks OpenAI's realtime protocol. See README.md."""
