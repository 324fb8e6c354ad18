"""What is told of a call: its record and the metrics. Below whoever tells it."""
