"""The running side: what a tool worker does with a job."""
