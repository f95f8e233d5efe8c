"""Which metrics and labels a PromQL expression uses, and the expressions of dashboard, alerts and recording rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

ROOT: Final = Path(__file__).resolve().parents[1]
DASHBOARD: Final = ROOT / "deploy/grafana/dashboards/talkup.json"
PROMETHEUS: Final = ROOT / "deploy/prometheus"

_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_RANGE = re.compile(r"\[[^\]]*\]")
_SELECTOR = re.compile(r"\b([a-zA-Z_:][a-zA-Z0-9_:]*)\b\s*(\{[^{}]*\})?(?!\s*\()")
_MATCHER = re.compile(r'([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*")')
_KEYWORDS = frozenset({"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan"})


@dataclass(frozen=True)
class Selector:
    """A metric in an expression, with the text of its matchers (`{...}`, or nothing) and the labels that they name."""

    metric: str
    matchers: str
    labels: frozenset[str]

    @property
    def text(self) -> str:
        return self.metric + self.matchers


@dataclass(frozen=True)
class Query:
    """An expression, where it stands, and what it uses. `groups`: the labels that it groups or joins by."""

    where: str
    text: str
    selectors: tuple[Selector, ...]
    groups: frozenset[str]


def parsed(where: str, text: str) -> Query:
    """What an expression uses. It reads the dialect of this repository: no braces or metric names within strings."""
    groups = {label.strip() for found in _GROUPING.findall(text) for label in found.split(",") if label.strip()}
    rest = _RANGE.sub("", _GROUPING.sub(" ", text))
    selectors = tuple(
        Selector(name, matchers, frozenset(label for label, _ in _MATCHER.findall(matchers)))
        for name, matchers in _SELECTOR.findall(rest)
        if name.lower() not in _KEYWORDS
    )
    return Query(where, text, selectors, frozenset(groups))


def _yaml(name: str) -> list[dict[str, Any]]:
    document = YAML(typ="safe").load((PROMETHEUS / name).read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard_queries() -> Iterator[Query]:
    """Every query of every panel, with Grafana's interval in place of its variable."""
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", []):
            yield parsed(f"panel {panel['title']}, {target['refId']}", target["expr"].replace("$__rate_interval", "1m"))


def alert_queries() -> Iterator[Query]:
    """Every expression that raises an alert."""
    for rule in _yaml("alerts.yml"):
        yield parsed(f"alert {rule['alert']}", rule["expr"])


def recorded_queries() -> dict[str, Query]:
    """The expression behind each recorded name."""
    return {rule["record"]: parsed(f"rule {rule['record']}", rule["expr"]) for rule in _yaml("recording.yml")}


def all_queries() -> list[Query]:
    """The queries of dashboard, alerts and recording rules."""
    return [*dashboard_queries(), *alert_queries(), *recorded_queries().values()]


def metrics_used() -> frozenset[str]:
    """Every metric that a process has to expose: what queries use, less what rules record and Prometheus adds."""
    used = {selector.metric for query in all_queries() for selector in query.selectors}
    return frozenset(used - recorded_queries().keys() - {"up"})


def alert_rules() -> list[dict[str, Any]]:
    """The alerts as they are written."""
    return _yaml("alerts.yml")
