"""`make bench-stt`: accuracy, latency and capacity of the speech engine, compared with the project's bounds.

`--only` chooses parts; `--minutes` limits the whole run. Prints tables and writes bench/results/stt.json.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.stt import accuracy as stt_accuracy
from bench.stt import cost as stt_cost
from bench.stt import crowd as stt_crowd
from bench.stt import delivery as stt_delivery
from bench.stt import exact as stt_exact
from bench.stt import files as stt_files
from bench.stt import finish as stt_finish
from bench.stt import languages as stt_languages
from bench.stt import live as stt_live
from bench.stt import naive as stt_naive
from bench.stt import perturbed as stt_perturbed
from bench.stt import slots as stt_slots
from bench.stt.suite import Suite

STT = Suite(
    "bench.stt",
    __doc__,
    Path(__file__).parents[1] / "results" / "stt.json",
    minutes=25.0,
    parts={
        "capacity": stt_live.capacity,
        "finish": stt_finish.finish,
        "accuracy": stt_accuracy.english,
        "french": stt_accuracy.french,
        "languages": stt_languages.languages,
        "noisy": stt_accuracy.noisy,
        "silence": stt_accuracy.silence,
        "cost": stt_cost.cost,
        "delivery": stt_delivery.delivery,
        "naive": stt_naive.compare,
        "parity": stt_exact.parity,
        "resume": stt_exact.resume,
        "perturbed": stt_perturbed.perturbed,
        "file": stt_files.recordings,
        "slots": stt_slots.slots,
        "crowd": stt_crowd.crowd,
    },
    on_request=frozenset({"slots", "crowd"}),
)

if __name__ == "__main__":
    sys.exit(STT.run(sys.argv[1:]))
