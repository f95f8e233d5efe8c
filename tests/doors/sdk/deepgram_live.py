"""A live conversation with Deepgram's SDK: URL, key, file of raw samples, options as JSON. Prints what it parses."""

import json
import sys
import threading
from pathlib import Path

from deepgram import DeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment

url, key, path, options = sys.argv[1:]
here = DeepgramClientEnvironment(base=url, production=url.replace("http", "ws"), agent="", agent_rest="")
client = DeepgramClient(api_key=key, environment=here)
media = Path(path).read_bytes()
finalized = threading.Event()


def show(message):
    print(json.dumps([type(message).__name__, json.loads(message.json())]), flush=True)
    if getattr(message, "from_finalize", None):
        finalized.set()


def fail(error):
    print(json.dumps(["error", f"{type(error).__name__}: {error}"]), flush=True)


with client.listen.v1.connect(model="nova-3", **json.loads(options)) as connection:
    connection.on(EventType.MESSAGE, show)
    connection.on(EventType.ERROR, fail)
    connection.on(EventType.CLOSE, lambda _: print(json.dumps(["close", None]), flush=True))
    listener = threading.Thread(target=connection.start_listening)
    listener.start()
    half = len(media) // 2 // 1600 * 1600
    connection.send_keep_alive()
    for at in range(0, half, 1600):
        connection.send_media(media[at : at + 1600])
    connection.send_finalize()
    assert finalized.wait(30), "Finalize was not answered"
    for at in range(half, len(media), 1600):
        connection.send_media(media[at : at + 1600])
    connection.send_close_stream()
    listener.join(30)
    assert not listener.is_alive(), "the gateway did not close"
