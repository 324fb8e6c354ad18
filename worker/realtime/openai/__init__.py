"""OpenAI's GA realtime protocol, as Azure, gateways and the local server speak it, too: a pure codec."""
