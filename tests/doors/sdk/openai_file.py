"""Uploads with OpenAI's SDK: URL, key, file, then options as JSON, one upload each. Prints what the SDK parses."""

import json
import sys
from pathlib import Path

from openai import APIStatusError, OpenAI, Stream

url, key, path, *uploads = sys.argv[1:]
client = OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


def show(answer):
    if isinstance(answer, Stream):
        for event in answer:
            print(json.dumps([type(event).__name__, json.loads(event.to_json())]), flush=True)
    elif isinstance(answer, str):
        print(json.dumps(["str", answer]), flush=True)
    else:
        print(json.dumps([type(answer).__name__, json.loads(answer.to_json())]), flush=True)


for options in map(json.loads, uploads):
    here = client.with_options(api_key=options.pop("key", key))
    method = {"translate": here.audio.translations.create, "models": here.models.list}.get(
        options.pop("call", ""), here.audio.transcriptions.create
    )
    given = {} if method == here.models.list else {"file": Path(path), "model": "whisper-1", **options}
    try:
        show(method(**given))
    except APIStatusError as error:
        print(json.dumps([type(error).__name__, {"status": error.status_code, **error.body}]), flush=True)
