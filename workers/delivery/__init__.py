"""How something is said: measures of sound and words, on media time only."""
