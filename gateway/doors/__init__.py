"""Other protocols: each is a dialect over the same sessions, streams, limits and store as our own.

All but `wyoming/`, which has a port of its own, are spoken at the HTTP port.

A dialect is a package here. It has no pipeline of its own: it turns what its clients send into our messages
(`gateway.protocol.messages`) and what the session says into its own.

To add one:

1. `options.py`: a table of `Option` rows for everything that its clients can ask for. `sort_options` gives the
   supported ones, raises RefusedError for the refused ones, and collects all others for one warning.
2. For sockets, a class that implements `steps.Conversation`, without input and output. It names the streams to start
   (`starts`; ids from `session.new_stream_id`), and returns steps for what client and session say: `ToSession`,
   `ToClient`, `Close`, and `CountRefusal` for a message that is refused or not understood. Interims may be replaced
   before it sees them; finals, errors and ends never are. When the last stream has ended without the client's wish,
   the gateway is restarting or an error came before.
3. For uploads, `recordings.Upload`, inside `entrance.recordings.place()`: it feeds a body, or any pieces of it, to
   streams of mode `file` and collects their finals; `listen` gets each message as it comes, for answers in parts.
4. Errors: a table from `Code` to the dialect's own status, body and close code. Every RefusedError becomes one of them.
5. A thin module with the handlers. `Entrance` has what they need: `access.admit` checks the credential (find it with
   `access.authorization` or in your own way), `DoorSession.open` opens the session, `door.start` its streams, all
   before a socket is upgraded, so that `busy` is an HTTP answer; then `sockets.upgrade` and `DoorSocket(…).serve(…)`.
   Call `entrance.served` or `entrance.refused` once per request.
6. Its name in `routes.DIALECTS` and `gateway.config.DOORS`; its folder in the tables of `tests/unit/architecture`, in
   `pyproject.toml`, and its table in `docs/doors.md`.

`deepgram/` is the example to follow; `openai_realtime/` starts its streams later, and more than one.
"""
