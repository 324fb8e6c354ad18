"""The tools of one call: what it is offered, how its tool calls run, and what may be told later.

`tools.run.catalog` is the door that runs them; it consults the call's view.
"""
