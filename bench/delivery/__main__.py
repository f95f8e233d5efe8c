"""`python -m bench.delivery`: what the delivery service measures, against sound whose truth is known.

`--only` chooses parts; `--minutes` limits the whole run. Prints tables and writes bench/results/delivery.json.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.delivery.fillers import fillers
from bench.delivery.truth import truth
from bench.stt.suite import Suite

DELIVERY = Suite(
    "bench.delivery",
    __doc__,
    Path(__file__).parents[1] / "results" / "delivery.json",
    minutes=60.0,
    parts={"truth": truth, "fillers": fillers},
)

if __name__ == "__main__":
    sys.exit(DELIVERY.run(sys.argv[1:]))
