"""Sessions at work: what a session does between its sockets, its worker streams and the store."""
