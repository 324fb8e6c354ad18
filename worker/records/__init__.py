"""What is told of a call: its record and the metrics, and one value with all that telling needs.

Below whoever tells it, so that nobody has to look upwards.
"""
