"""The runner of the speech benchmarks: which parts run, what is written, and when a broken bound counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.checks import Findings
from bench.corpus import OWN_CLIPS
from bench.stt.bench import Bench
from bench.stt.suite import Suite


def found(value: float) -> Findings:
    findings = Findings(figures={"value": value})
    findings.check("the value", value, "<=", 1)
    return findings


def suite(ran: list[str], results: Path) -> Suite:
    def part(name: str, value: float) -> Findings:
        ran.append(name)
        return found(value)

    def right(bench: Bench) -> Findings:
        return part("right", 1)

    def broken(bench: Bench) -> Findings:
        return part("broken", 2)

    parts = {"right": right, "broken": broken}
    return Suite("bench.toy", "a toy", results, 5.0, parts, on_request=frozenset({"broken"}))


def test_parts_run_by_name_and_a_broken_bound_counts_on_a_corpus(tmp_path: Path) -> None:
    ran: list[str] = []
    toy, corpus = suite(ran, tmp_path / "toy.json"), ["--corpus", str(tmp_path)]
    assert toy.run(corpus) == 0
    assert ran == ["right"]
    assert toy.run([*corpus, "--only", "broken,right"]) == 1
    assert ran == ["right", "broken", "right"]
    written = json.loads((tmp_path / "toy.json").read_text())
    assert [check["verdict"] for check in written["checks"]] == ["FAIL", "pass"]
    assert written["broken"]["value"] == 2
    assert toy.run(["--corpus", str(OWN_CLIPS), "--only", "broken"]) == 0


def test_no_part_begins_once_the_time_is_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran: list[str] = []
    assert suite(ran, tmp_path / "toy.json").run(["--minutes", "-1"]) == 0
    assert ran == []
    assert "right: skipped" in capsys.readouterr().out


def test_an_unknown_part_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        suite([], tmp_path / "toy.json").run(["--only", "left"])
    assert "no part left" in capsys.readouterr().err
