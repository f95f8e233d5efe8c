"""An upload with Deepgram's SDK: URL, key, file, options as JSON. Prints what the SDK parses, or its error."""

import json
import sys
from pathlib import Path

from deepgram import DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.environment import DeepgramClientEnvironment

url, key, path, options = sys.argv[1:]
here = DeepgramClientEnvironment(base=url, production=url.replace("http", "ws"), agent="", agent_rest="")
client = DeepgramClient(api_key=key, environment=here)
if options == "grant":  # go on with a token instead of the key
    token = client.auth.v1.tokens.grant(ttl_seconds=60).access_token
    client, options = DeepgramClient(access_token=token, environment=here), '{"encoding": "mulaw"}'
try:
    answer = client.listen.v1.media.transcribe_file(
        request=Path(path).read_bytes(), model="nova-3", **json.loads(options)
    )
except ApiError as error:
    print(json.dumps([type(error).__name__, error.status_code, error.body]))
else:
    print(json.dumps([type(answer).__name__, json.loads(answer.json())]))
