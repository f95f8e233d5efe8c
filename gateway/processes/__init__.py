"""Several gateway processes on the same ports: a supervisor starts them and hands each the connections it serves."""
