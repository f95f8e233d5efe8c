"""How something was said: measures of pace, pauses, loudness and pitch, on media time alone."""
