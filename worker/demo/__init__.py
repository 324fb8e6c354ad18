"""The demo: one whole spoken call with nothing configured. The caller is a process of its own."""
