"""Tools that stand on MCP servers: what the agent file says of a server, and its tools as tools of ours.

`server` is the definition and needs no SDK. The others are the only rooms that import `mcp`.
"""
