"""The answer to `describe`: the models behind the gateway, as one speech-to-text program. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from gateway.protocol.messages import ServiceStatus
from settings.version import VERSION

PROGRAM: Final = "talkup"


class Attribution(Struct, frozen=True):
    """Who made something. The gateway does not know who made a model."""

    name: str = "TalkUp"
    url: str = ""


class AsrModel(Struct, kw_only=True):
    """A model."""

    name: str
    languages: Sequence[str]
    attribution: Attribution = Attribution()
    installed: bool = True
    description: str
    version: str | None = None


class AsrProgram(Struct, kw_only=True):
    """The gateway. `requires_external_vad`: the client says when a command is over, with `audio-stop`."""

    name: str = PROGRAM
    models: Sequence[AsrModel]
    attribution: Attribution = Attribution()
    installed: bool = True
    description: str = "TalkUp gateway"
    version: str = VERSION
    supports_transcript_streaming: bool = True
    requires_external_vad: bool = True


class Info(Struct):
    """Programs by kind."""

    asr: Sequence[AsrProgram]


def info(services: Sequence[ServiceStatus]) -> Info:
    """What transcribes now. Without a worker there is no model."""
    models = [
        AsrModel(name=model, languages=sorted({_primary(tag) for tag in status.languages}), description=model)
        for status in services
        if status.service == "stt"
        for model in status.models
    ]
    return Info([AsrProgram(models=models)])


def _primary(tag: str) -> str:
    """The language of a BCP-47 tag: Home Assistant matches its own tags with it."""
    return tag.partition("-")[0].lower()
