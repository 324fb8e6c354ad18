"""Environment variables in, frozen values out: the only reader of the environment."""
