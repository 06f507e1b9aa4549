"""The table, and the ratios by which we judge ourselves. Pure."""

import json
import math
import statistics
from collections.abc import Sequence

from bench.controller.cluster import Json

AURORA, REFERENCE, KOPF = "aurora", "controller-runtime", ("kopf", "kopf-own-cache")
JUDGED_N = 1000

ROWS = [
    ("cold start to first Ready, s", "cold_start_s", "{:.2f}"),
    ("burst: all Ready, s", "burst_s", "{:.1f}"),
    ("burst: widgets/s", "burst_widgets_per_s", "{:.0f}"),
    ("burst: controller CPU per widget, ms", "burst_cpu_ms_per_widget", "{:.1f}"),
    ("burst: controller's core busy, %", "burst_controller_core_percent", "{:.0f}"),
    ("burst: servers' core busy, %", "burst_server_core_percent", "{:.0f}"),
    ("burst: writes per widget", "burst_writes_per_widget", "{:.2f}"),
    ("burst: reads per widget", "burst_reads_per_widget", "{:.2f}"),
    ("RSS after burst, MiB", "rss_mib", "{:.0f}"),
    ("RSS after restart, MiB", "restart_rss_mib", "{:.0f}"),
    ("steady: requests, watches aside", "steady_requests", "{:.0f}"),
    ("steady: CPU, % of a core", "steady_cpu_percent", "{:.1f}"),
    ("restart: first reconcile, s", "restart_first_s", "{:.2f}"),
    ("restart: 20 lost children back, s", "restart_all_s", "{:.2f}"),
    ("restart: controller quiet, s", "restart_quiet_s", "{:.1f}"),
    ("restart: needless writes", "restart_extra_writes", "{:.0f}"),
    ("update all: Deployments done, s", "update_s", "{:.1f}"),
    ("update all: Deployments/s", "update_per_s", "{:.0f}"),
    ("update all: writes per widget", "update_writes_per_widget", "{:.2f}"),
    ("50 children deleted: all back, s", "recreate_s", "{:.2f}"),
    ("20 Deployments edited: restored, s", "drift_s", "{:.2f}"),
]


def table(results: list[Json]) -> str:
    """Markdown: lowest–highest over the rounds; latencies of single widgets pooled over them."""
    columns = list(dict.fromkeys((result["n"], result["impl"]) for result in results))
    lines = [
        "| | " + " | ".join(f"{impl}, n={n}" for n, impl in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for title, metric, form in ROWS:
        cells = []
        for column in columns:
            runs = [result for result in results if (result["n"], result["impl"]) == column]
            values = [run["metrics"][metric] for run in runs if metric in run.get("metrics", {})]
            ends = dict.fromkeys(form.format(value) for value in (min(values), max(values))) if values else ["failed"]
            cells.append("–".join(ends))
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    for percent in (50, 99):
        cells = [_pooled(results, n, impl, percent) for n, impl in columns]
        lines.append(f"| one widget to Ready, p{percent} of all rounds, ms | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def summary(results: list[Json], n: int = JUDGED_N) -> str:
    """One JSON object: ours against the others at ``n`` widgets, medians over the rounds; null where one is missing.

    Of the two kopf variants the better one counts, for each figure by itself.
    """

    def median(impl: str, metric: str) -> float | None:
        values = [run["metrics"][metric] for run in _runs(results, n, impl) if metric in run.get("metrics", {})]
        return statistics.median(values) if values else None

    def against(metric: str, *others: str) -> float | None:
        theirs = [value for other in others if (value := median(other, metric)) is not None]
        return _ratio(median(AURORA, metric), min(theirs, default=None))

    def latency(percent: int) -> float | None:
        return _ratio(*(percentile(_singles(results, n, impl), percent) for impl in (AURORA, REFERENCE)))

    return json.dumps(
        {
            "burst_vs_controller_runtime": against("burst_s", REFERENCE),
            "p50_vs_controller_runtime": latency(50),
            "p99_vs_controller_runtime": latency(99),
            "cpu_per_widget_vs_controller_runtime": against("burst_cpu_ms_per_widget", REFERENCE),
            "cpu_per_widget_vs_kopf": against("burst_cpu_ms_per_widget", *KOPF),
            "writes_per_widget": median(AURORA, "burst_writes_per_widget"),
            "update_writes_per_widget": median(AURORA, "update_writes_per_widget"),
            "steady_requests": median(AURORA, "steady_requests"),
            "restart_vs_controller_runtime": against("restart_first_s", REFERENCE),
            "restart_vs_kopf": against("restart_first_s", *KOPF),
            "restart_writes": median(AURORA, "restart_extra_writes"),
            "rss_vs_controller_runtime": against("rss_mib", REFERENCE),
        }
    )


def percentile(samples: Sequence[float], percent: float) -> float | None:
    """Nearest rank; None of nothing."""
    return sorted(samples)[math.ceil(percent / 100 * len(samples)) - 1] if samples else None


def _runs(results: list[Json], n: int, impl: str) -> list[Json]:
    return [result for result in results if (result["n"], result["impl"]) == (n, impl)]


def _singles(results: list[Json], n: int, impl: str) -> list[float]:
    return [sample for run in _runs(results, n, impl) for sample in run.get("metrics", {}).get("single_ms", ())]


def _pooled(results: list[Json], n: int, impl: str, percent: int) -> str:
    found = percentile(_singles(results, n, impl), percent)
    return "failed" if found is None else f"{found:.0f}"


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or not theirs else round(ours / theirs, 3)
