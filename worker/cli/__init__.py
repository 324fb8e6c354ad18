"""The command line, `offhook`: a thin layer over the packages below.

Each command imports what it needs when it runs, so that a tool worker loads neither pjsua2 nor a WebSocket library,
and `--help` answers at once.
"""
