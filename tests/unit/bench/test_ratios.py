"""`make bench-check`: ratios of a run against the committed ones, by kind of processor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import ratios
from bench.machine import describe, kind, others
from bench.ratios import Committed, Measured


def results(value: float | None, *, lower_is_better: bool = True, processor: str = "avx2") -> dict[str, object]:
    entry = {"ratio": value, "against": "offline", "lower_is_better": lower_is_better}
    return {"machine": {"kind": processor}, "naive": {"ratios": {"cpu": entry}}}


def run(tmp_path: Path, document: object, *committed: Committed, accept: bool = False) -> int:
    """The exit status of the command with these results and committed ratios."""
    folder, file = tmp_path / "results", tmp_path / "ratios.json"
    folder.mkdir()
    (folder / "stt.json").write_text(json.dumps(document))
    rows = [{name: getattr(one, name) for name in Committed.__dataclass_fields__} for one in committed]
    file.write_text(json.dumps(rows))
    arguments = ["--results", str(folder), "--committed", str(file), *(["--accept"] if accept else [])]
    return ratios.main(arguments)


COST = Committed("stt.naive.cpu", "avx2", 0.2, "offline")
CAPACITY = Committed("stt.naive.cpu", "avx2", 1.0, "offline", lower_is_better=False)


@pytest.mark.parametrize(
    ("committed", "measured", "status"),
    [(COST, 0.229, 0), (COST, 0.231, 1), (COST, 0.05, 0), (CAPACITY, 0.86, 0), (CAPACITY, 0.84, 1), (CAPACITY, 3.0, 0)],
)
def test_only_a_ratio_that_is_worse_by_more_than_its_tolerance_fails(
    tmp_path: Path, committed: Committed, measured: float, status: int
) -> None:
    document = results(measured, lower_is_better=committed.lower_is_better)
    assert run(tmp_path, document, committed) == status


def test_a_ratio_of_another_kind_of_processor_is_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, results(0.9, processor="avx512-vnni"), COST) == 2
    printed = capsys.readouterr()
    assert "no ratio could be compared" in printed.err
    assert "new, not compared: stt.naive.cpu on avx512-vnni: 0.9 (against offline)" in printed.out


def test_a_ratio_that_was_not_measured_neither_passes_nor_fails() -> None:
    other = Committed("stt.file.cpu", "avx2", 1.0, "offline")
    compared = ratios.compare([COST, other], [Measured(COST.name, 0.2, "offline", True, "avx2")])
    assert [one.verdict for one in compared] == ["pass", "not measured"]


def test_a_part_of_an_earlier_run_counts_for_the_machine_it_ran_on() -> None:
    entry = {"ratio": 1.1, "against": "raw echo", "lower_is_better": True}
    document = {"machine": {"kind": "avx2"}, "overhead": {"machine": {"kind": "avx512"}, "ratios": {"json": entry}}}
    [found] = ratios.measured("gateway", document)
    assert (found.name, found.processor) == ("gateway.overhead.json", "avx512")


def test_accepting_keeps_tolerances_and_the_ratios_of_other_processors(tmp_path: Path) -> None:
    wide = Committed(COST.name, "avx2", 0.2, "offline", tolerance=0.3)
    other = Committed(COST.name, "avx512-vnni", 0.1, "offline")
    assert run(tmp_path, results(0.25), wide, other, accept=True) == 0
    kept = ratios.read_committed(tmp_path / "ratios.json")
    assert kept == [Committed(COST.name, "avx2", 0.25, "offline", tolerance=0.3), other]


def test_results_that_are_no_ratios_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, {"naive": {"ratios": {"cpu": 0.3}}}, COST) == 2
    assert "stt.naive.cpu: not a ratio" in capsys.readouterr().err


def test_the_committed_ratios_can_be_read() -> None:
    names = [(one.name, one.processor) for one in ratios.read_committed(ratios.COMMITTED)]
    assert names == sorted(set(names))


def test_an_entry_of_zero_reference_is_not_a_number() -> None:
    assert ratios.ratio(1.0, 0.0, "nothing")["ratio"] != ratios.ratio(1.0, 0.0, "nothing")["ratio"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["sse4_2", "avx2"], "avx2"),
        (["avx2", "avx512f"], "avx512"),
        (["avx2", "avx512f", "avx512_vnni"], "avx512-vnni"),
        (["avx2", "avx_vnni"], "avx2-vnni"),
        (["asimd", "asimddp"], "neon-dot"),
        ([], "other"),
    ],
)
def test_a_processor_is_of_the_kind_of_its_best_int8_arithmetic(flags: list[str], expected: str) -> None:
    assert kind(flags) == expected


def test_a_processor_that_is_kept_to_avx2_is_a_kind_of_its_own() -> None:
    assert kind(["avx2", "avx512_vnni"], "AVX2") == "avx2-limited"
    assert kind(["avx2", "avx512_vnni"], "DEFAULT") == "avx512-vnni"


def test_the_machine_is_described_with_kind_cores_and_load() -> None:
    found = describe()
    assert found["cores"] >= 1
    assert len(found["load_average"]) == 3
    assert found["kind"]


def test_other_programs_are_added_up_by_name_and_small_ones_left_out() -> None:
    before = {(1, 0.0): ("node", 5.0), (2, 0.0): ("sleep", 0.0)}
    after = {(1, 0.0): ("node", 7.0), (2, 0.0): ("sleep", 0.1), (3, 9.0): ("node", 1.0)}
    assert others(before, after) == {"node": 3.0}
