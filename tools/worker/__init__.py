"""The running side: what a tool worker does with a job.

It runs our entry points and nothing else, whatever a job in Redis says.
"""
