"""OpenAI's Realtime dialect: transcription sessions over a WebSocket, and ephemeral keys for them."""
