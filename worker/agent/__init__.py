"""The agent file, and the agent that is shipped."""
