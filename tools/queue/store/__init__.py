"""What offhook itself keeps in Redis, beside the queue: plain functions on a client, one module for each kind of thing.

They block: a tool worker calls them as they are, the calling side through `QueuedRunner.ask`. Each key has a lifetime.
"""
