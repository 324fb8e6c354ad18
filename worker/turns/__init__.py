"""The turn machine: who may speak, and what has to be answered.

Pure: no I/O, no clock, time is a parameter. Events in, commands out; frames of audio never come here.
"""
