"""Run as a process: warm the codecs up, lock in, try what is forbidden, decode, and print what happened as JSON."""

from __future__ import annotations

import ctypes
import io
import json
import mmap
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from workers.media.isolation import lockdown
from workers.media.isolation.warmup import audio_clips


def decoded_samples(codec: str) -> int:
    """Samples in the warm-up clip of a codec, by PyAV."""
    clip = next(clip for clip in audio_clips() if clip.codec == codec)
    if codec == "opus":
        context = av.CodecContext.create("opus", "r")
        assert isinstance(context, av.AudioCodecContext)
        return sum(frame.samples for chunk in clip.chunks for frame in context.decode(av.Packet(chunk)))
    with av.open(io.BytesIO(b"".join(clip.chunks)), "r") as container:
        return sum(frame.samples for frame in container.decode(audio=0))


def more_code() -> None:
    """Ask for executable memory."""
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def kill_parent() -> None:
    """Signal 0 would only ask whether it may."""
    os.kill(os.getppid(), 0)


def trace_me() -> None:
    """ptrace(PTRACE_TRACEME)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


ATTEMPTS: dict[str, Callable[[], object]] = {
    "open": lambda: os.open("/etc/hostname", os.O_RDONLY),
    "create": lambda: os.open("/tmp/talkup-probe", os.O_WRONLY | os.O_CREAT),
    "list": lambda: list(Path("/").iterdir()),
    "socket": socket.socket,
    "pipe": os.pipe,
    "dup": lambda: os.dup(1),
    "fork": os.fork,
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "thread": threading.Thread(target=int).start,
    "kill": kill_parent,
    "trace": trace_me,
    "2 GB": lambda: np.ones(1 << 28),
    "code": more_code,
}


def outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except (OSError, MemoryError, RuntimeError) as error:
        return type(error).__name__
    return "allowed"


def main() -> None:
    codecs = ("opus", "mp3", "flac", "aac")
    before = {codec: decoded_samples(codec) for codec in codecs}
    missing = lockdown.lock(lockdown.Confinement())
    report = {
        "missing": missing,
        "attempts": {name: outcome(attempt) for name, attempt in ATTEMPTS.items()},
        "before": before,
        "after": {codec: decoded_samples(codec) for codec in codecs},
    }
    sys.stdout.write(json.dumps(report))
    sys.stdout.flush()
    os._exit(0)


main()
