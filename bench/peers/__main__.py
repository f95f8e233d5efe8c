"""`make bench-peers`: plays the same speech in real time to comparable servers and to ours, with the same weights.

Each server runs alone, in its own environment, and the bench behaves like that server's own client. Prints a table per
part and writes bench/results/peers.json, which also records what a server cannot do. One bound, of live streams against
the best other streaming server, is printed and does not change the exit status.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench import checks, machine
from bench.checks import Check, Findings
from bench.corpus import OWN_CLIPS
from bench.peers import faults as peers_faults
from bench.peers import live as peers_live
from bench.peers.material import Material
from bench.peers.peer import Peer, PeerError
from bench.peers.talkup import TalkUp
from bench.peers.whisperlive import WhisperLive
from bench.peers.whisperlivekit import WhisperLiveKit
from bench.peers.wyoming import Wyoming
from bench.stt.bench import ENGLISH, resolved

RESULTS = Path(__file__).parents[1] / "results" / "peers.json"
PEERS: dict[str, Callable[[], Peer]] = {
    "talkup": TalkUp,
    "whisperlive": WhisperLive,
    "whisperlivekit": WhisperLiveKit,
    "wyoming": Wyoming,
}
Part = Callable[[Peer, Path, Material], Findings]
PARTS: dict[str, Part | None] = {
    "live": None,
    "last": peers_faults.last,
    "loss": peers_faults.loss,
    "webm": peers_faults.webm,
}
_FAULT_SECONDS = 15.0
_LIVE_COLUMNS = {
    "word_error_percent": "errors %",
    "shown_p50_s": "shown p50 s",
    "shown_p95_s": "p95",
    "final_p50_s": "final p50 s",
    "final_p95_s": "p95",
    "words_ever_final_percent": "final %",
    "end_to_last_text_p95_s": "end to last text p95 s",
    "cpu_per_audio_second": "CPU s/s",
    "streams_failed": "failed",
    "other_cpu_share": "other CPU",
    "keeps_up": "keeps up",
}


def main(argv: Sequence[str]) -> int:
    """Run the parts, server by server; return exit status 1 only when no other server could be run."""
    arguments = _arguments(argv)
    model = resolved(ENGLISH).path
    long, short = Material(arguments.corpus, arguments.seconds), Material(arguments.corpus, _FAULT_SECONDS)
    figures: dict[str, Any] = {
        "machine": machine.describe(),
        "model": f"{ENGLISH}, int8, CPU",
        "stream_seconds": long.line(0).seconds,
    }
    kept: list[Check] = []
    peers = {name: TalkUp(arguments.slots) if name == "talkup" else PEERS[name]() for name in arguments.peers}
    figures["versions"] = {name: peer.version for name, peer in peers.items()}
    for name in arguments.only:
        print(name, flush=True)
        with machine.surroundings() as around:
            found = {}
            for peer in peers.values():
                sizes = arguments.own_streams if peer.name == "talkup" else arguments.streams
                part = PARTS[name] or partial(peers_live.live, sizes=sizes, say=_say)
                found[peer.name] = _measured(part, peer, model, long if name == "live" else short)
        print(_table(name, found), flush=True)
        figures[name] = {**found, "surroundings": around}
        if name == "live":
            figures[name]["ratios"] = peers_live.ratios(found, {each.name for each in peers.values() if each.streaming})
            kept += peers_live.bounds(figures[name]["ratios"])
        checks.write(arguments.out, figures, kept)
    if kept:
        print(checks.table([("figure", "value", "bound", ""), *(check.row() for check in kept)]))
    others = [figures[name][peer] for name in arguments.only for peer in arguments.peers if peer != "talkup"]
    return int(bool(others) and all("not_measured" in found for found in others))


def _measured(part: Part, peer: Peer, model: Path, material: Material) -> dict[str, Any]:
    """The results of a part, or why it could not be run."""
    began = time.monotonic()
    try:
        figures = part(peer, model, material).figures
    except* PeerError as errors:
        figures = {"not_measured": "; ".join(str(error) for error in errors.exceptions)}
    return {**figures, "took_s": time.monotonic() - began}


def _table(name: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    if name == "live":
        return checks.table([("server", "streams", *_LIVE_COLUMNS.values()), *_live_rows(found)])
    return checks.table(checks.flattened(found))


def _live_rows(found: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    rows = []
    for peer, figures in found.items():
        for size, values in figures.items():
            if size.startswith("streams_") and isinstance(values, Mapping):
                cells = (values[column] for column in _LIVE_COLUMNS)
                shown = (f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells)
                rows.append((peer, size.removeprefix("streams_"), *shown))
        if problem := figures.get("not_measured"):
            rows.append((peer, problem.partition("\n")[0], *("" for _ in _LIVE_COLUMNS)))
    return rows


def _say(line: str) -> None:
    print(f"  {line}", flush=True)


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--corpus", type=Path, default=OWN_CLIPS, help="folder with manifest.jsonl")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, comma-separated: " + ", ".join(PARTS))
    parser.add_argument("--peers", default=",".join(PEERS), help="servers, comma-separated: " + ", ".join(PEERS))
    parser.add_argument("--streams", default="1,2,4,8,16", help="numbers of parallel streams to try, in order")
    parser.add_argument("--own-streams", help="the same for ours, if it differs")
    parser.add_argument("--slots", type=int, help="streams that our worker admits, instead of its own measurement")
    parser.add_argument("--seconds", type=float, default=40.0, help="minimum audio of a live stream")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the figures are written")
    arguments = parser.parse_args(argv)
    arguments.own_streams = _sizes(arguments.own_streams or arguments.streams)
    arguments.streams = _sizes(arguments.streams)
    for option, known in (("only", PARTS), ("peers", PEERS)):
        chosen = getattr(arguments, option).split(",")
        for name in chosen:
            if name not in known:
                parser.error(f"--{option}: no {name}")
        setattr(arguments, option, chosen)
    return arguments


def _sizes(listed: str) -> list[int]:
    return [int(size) for size in listed.split(",")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
