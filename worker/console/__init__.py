"""`offhook console`: a call without a telephone, for whoever writes prompts and tools.

The session, the turn machine and the tools are those of a call; the caller types, or speaks into a microphone.
"""
