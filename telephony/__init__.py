"""SIP and RTP: calls in and out, and their audio. Knows nothing of agents, providers or tools."""
