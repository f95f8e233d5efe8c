"""A real Prometheus scrapes a real gateway and real workers under load: every query of dashboard and alerts has data.

It needs Prometheus: `make check-deploy` installs it and runs this.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from ruamel.yaml import YAML

from bench.harness.stack import HOST, free_port
from tests.e2e.observed import (
    METRICS_TOKEN,
    Observed,
    Worker,
    back,
    failover,
    loss,
    observed,
    pictures,
    refused_by_a_full_worker,
    store_outage,
    strangers,
)
from tests.promql import PROMETHEUS, Query, alert_queries, dashboard_queries, recorded_queries

pytestmark = [pytest.mark.prometheus, pytest.mark.timeout(300)]
PATIENCE_S = 60.0
# Nothing waits for the model of a scripted engine; the real one has no streams here.
IS_ZERO_HERE = {"talkup_worker_queue_jobs"}


class Prometheus:
    """The server's HTTP API."""

    def __init__(self, http: aiohttp.ClientSession, port: int) -> None:
        self._http = http
        self._url = f"http://{HOST}:{port}/api/v1"

    async def get(self, path: str, **parameters: str) -> Any:
        async with self._http.get(f"{self._url}/{path}", params=parameters) as answer:
            body = await answer.json()
            assert body["status"] == "success", body
            return body["data"]

    async def values(self, query: str, since: float) -> list[float]:
        """Every value that a query has had since then, second by second."""
        found = await self.get("query_range", query=query, start=str(since), end=str(time.time()), step="1s")
        return [float(value) for series in found["result"] for _, value in series["values"]]


def configuration(stack: Observed, speech: Worker, folder: Path) -> Path:
    """The configuration of the deployment, every second, with these processes in place of its names."""
    yaml = YAML(typ="safe")
    settings = yaml.load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings["rule_files"] = [str(PROMETHEUS / name) for name in settings["rule_files"]]
    token = folder / "metrics-token"
    token.write_text(METRICS_TOKEN, encoding="utf-8")
    ports = {
        "talkup-gateway": [stack.http_port],
        "talkup-stt-worker": [each.metrics_port for each in (stack.first, stack.second, speech)],
        "talkup-vision-worker": [stack.vision.metrics_port],
    }
    for job in settings["scrape_configs"]:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [f"{HOST}:{port}" for port in ports.pop(job["job_name"])]}]
        if "authorization" in job:
            job["authorization"]["credentials_file"] = str(token)
    assert not ports
    path = folder / "prometheus.yml"
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(settings, file)
    return path


@contextmanager
def prometheus(config: Path, port: int) -> Iterator[None]:
    log = (config.parent / "prometheus.log").open("wb")
    command = ["prometheus", f"--config.file={config}", f"--web.listen-address={HOST}:{port}"]
    process = psutil.Popen([*command, f"--storage.tsdb.path={config.parent / 'tsdb'}"], stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)
        log.close()


async def all_targets_up(server: Prometheus) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                targets = (await server.get("targets"))["activeTargets"]
                if len(targets) == 5 and all(target["health"] == "up" for target in targets):
                    return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.2)


async def stall_seen(server: Prometheus, since: float) -> None:
    """Prometheus has seen a stream that waits."""
    async with asyncio.timeout(PATIENCE_S):
        for metric in ("gateway_streams_congested", "gateway_stream_behind_seconds", "gateway_replay_buffer_bytes"):
            while not any(value > 0 for value in await server.values(metric, since)):
                await asyncio.sleep(0.2)


async def kill_a_decoder(speech: Worker) -> None:
    """The real worker's decoder process dies and is replaced."""
    (child, *_) = psutil.Process(speech.process.pid).children()
    child.kill()
    await asyncio.to_thread(speech.process.wait_for_log, "decoder child replaced")


async def unanswered(server: Prometheus, queries: list[Query], since: float) -> list[str]:
    """Queries that never had a value above zero."""
    missing = []
    for query in queries:
        values = await server.values(query.text, since)
        is_zero = {selector.metric for selector in query.selectors} <= IS_ZERO_HERE
        if not any(math.isfinite(value) and (value > 0 or is_zero) for value in values):
            missing.append(f"{query.where}: {query.text}")
    return missing


async def test_every_query_has_data_under_load(tmp_path: Path) -> None:
    port, since = free_port(), time.time()
    speech = Worker("stt-real", ("stt",), tmp_path, {"WORKER_MODEL": "tiny.en", "WORKER_SLOTS": "2"})
    speech.begin()
    try:
        with observed(tmp_path) as stack, prometheus(configuration(stack, speech, tmp_path), port):
            async with aiohttp.ClientSession() as http:
                server = Prometheus(http, port)
                await asyncio.to_thread(speech.process.wait_for_log, "worker serving")
                await all_targets_up(server)
                await refused_by_a_full_worker(stack)
                await back(stack, await failover(stack))
                await pictures(stack)
                await strangers(stack)
                await kill_a_decoder(speech)
                await loss(stack, lambda: stall_seen(server, since))
                await store_outage(stack)
                await check_dashboard(server, since)
                await check_alerts(server, since)
    finally:
        speech.process.stop()


async def check_dashboard(server: Prometheus, since: float) -> None:
    """Every query has data; a rate may need a few scrapes more."""
    queries = list(dashboard_queries())
    until = time.monotonic() + PATIENCE_S
    while missing := await unanswered(server, queries, since):
        assert time.monotonic() < until, "no data: " + "; ".join(missing)
        await asyncio.sleep(1)
    print(f"{len(queries)} queries of the dashboard have data")


async def check_alerts(server: Prometheus, since: float) -> None:
    """Every rule can be evaluated, and everything that an alert looks at is there."""
    groups = (await server.get("rules"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    assert len(rules) == len(list(alert_queries())) + len(recorded_queries())
    for query in [*alert_queries(), *recorded_queries().values()]:
        for selector in query.selectors:
            assert await server.values(selector.text, since), f"{query.where}: {selector.text}"
    print(f"{len(rules)} rules are evaluated, and their metrics have data")
