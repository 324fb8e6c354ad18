"""Environment variables in, frozen values out: the only reader of the environment.

A wrong value is one line that names the variable, the value and what is allowed.
"""
