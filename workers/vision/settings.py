"""Settings of the vision service, in addition to those that every worker has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from settings.declaration import Setting
from workers.config import PORT, WorkerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionSettings(WorkerConfig):
    """Settings of `python -m workers vision`."""

    port: Annotated[int, PORT] = 50052
    nets: Annotated[
        Literal["opencv", "litert"], Setting("library that runs the networks; litert needs the extra vision-litert")
    ] = "opencv"
    nice: Annotated[int, Setting("how far analysis yields to other processes of the machine", 0, 19)] = 10
