"""A dialogue against a tool with no audio: a scripted model and a clock of its own, for tests of tools."""
