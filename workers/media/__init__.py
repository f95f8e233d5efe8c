"""From container bytes to samples: push demuxers, codecs, restart points, isolation."""
