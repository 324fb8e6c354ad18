"""Simulated callers over real SIP against an agent, and a judgement of each call."""
