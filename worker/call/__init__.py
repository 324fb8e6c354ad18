"""One call's shell: feeds the turn machine, carries out what it says, and lets the audio pass by.

On the event loop only, and nothing waits: the link to the provider and the tools come back as events.
"""
