"""Push demuxers: one container format each, from bytes as they arrive to packets."""
