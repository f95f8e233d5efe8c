"""Deepgram's dialect of live and recorded transcription (`/v1/listen`), as its SDKs speak it."""
