"""The turn machine: who may speak, and what has to be answered. Pure: no I/O, time is a parameter."""
