"""What both ends of a link share, the RPC that carries many streams between a gateway and a worker (link.proto)."""
