"""Calls to look at: pictures, HTML pages, the terminal. Pure, but for the levels that are read from a recording.

A story of `worker.records` in, text out. Who serves it is not this package's business.
"""
