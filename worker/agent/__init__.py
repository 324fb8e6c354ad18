"""The agent file (TOML): what an agent says, has and may do, and which one answers for which number.

The agent that is shipped stands beside it.
"""
