"""What a tool is: its recipe, its schema, what it needs of others, and how tools are found.

Needs neither Redis nor a provider: who writes a tool imports this alone, through `tools`.
"""
