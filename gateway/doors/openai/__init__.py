"""OpenAI's dialect for recordings: uploads to `/v1/audio/transcriptions`, and the list of models."""
