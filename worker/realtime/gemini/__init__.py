"""Google's Live API, as Gemini (AI Studio) and Vertex AI speak it: a pure codec, and how a connection is had."""
