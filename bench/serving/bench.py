"""Servers of scikit-learn models compared: a table, and the ratios as one line of JSON at the end."""

import argparse
import http.client
import json
import statistics
from pathlib import Path
from typing import Any

from bench.serving.measure import Failed, Load, running
from bench.serving.servers import Server, servers

CONNECTIONS = (1, 8, 32)
FLOOR = "aiohttp-constant"
OURS = ("aurora-trees", "aurora-sklearn")
PEERS = ("mlserver", "kserve", "bentoml")
SERVERS = {
    "forest": (FLOOR, "aiohttp-onnx", *OURS, *PEERS),
    "boosting": (*OURS, *PEERS),
    "linear": ("aurora-sklearn", *PEERS),  # its columns have no other form
}
"""Model → its servers. The ratios are those of the forest."""
ROW = "| {:24} | {:>7} | {:>6} | {:>6} | {:>11} | {:>9} | {:>7} | {:>7} | {:>7} | {:>6} |"


def measure(server: Server, work: Path, *, seconds: float, log: Path) -> dict[str, Any]:
    """Start, checks, single rows at each number of connections, and 1,000 rows."""
    single, large = (work / f"{server.tensor}-{rows}.jsonl" for rows in (1, 1000))
    bodies = single.read_bytes().splitlines()
    expected = json.loads((work / "expected.json").read_text())
    with running(server, log) as started:
        start = started.first_answer(bodies[0])
        difference = started.check(bodies, expected)
        started.load(single, connections=1, seconds=1)  # warms up
        loads: dict[str, Load] = {
            f"1 row, c={connections}": started.load(single, connections=connections, seconds=seconds)
            for connections in CONNECTIONS
        }
        loads["1000 rows, c=1"] = started.load(large, connections=1, seconds=seconds)
        if server.binary:
            raw = work / "input-1000.bin"
            started.check_binary(raw.read_bytes(), expected)
            loads["1000 rows, binary"] = started.load(raw, connections=1, seconds=seconds)
        return {
            "start_s": start,
            "difference": difference,
            "peak_mb": started.memory_mb("VmHWM"),
            "loads": {name: vars(load) for name, load in loads.items()},
        }


def medians(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each figure."""

    def median(*path: str) -> float:
        values = []
        for one in rounds:
            for key in path:
                one = one[key]  # noqa: PLW2901
            values.append(one)
        return statistics.median(values)  # type: ignore[type-var]

    return {
        **{key: median(key) for key in ("start_s", "peak_mb", "difference")},
        "loads": {
            name: {figure: median("loads", name, figure) for figure in load}
            for name, load in rounds[0]["loads"].items()
        },
    }


def ratios(found: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Those of the issue that can be computed from the servers that were measured."""

    def rate(name: str, load: str = "1 row, c=8") -> float:
        return found[name]["loads"][load]["per_second"]

    def rss(name: str) -> float:
        return max(load["rss_mb"] for load in found[name]["loads"].values())

    ours, peers = "aurora-trees", [name for name in PEERS if name in found]
    result = {}
    if FLOOR in found:
        result["single_row_vs_floor_c8"] = rate(ours) / rate(FLOOR)
        p99 = [found[name]["loads"]["1 row, c=8"]["p99_ms"] for name in (ours, FLOOR)]
        result["p99_vs_floor_c8"] = p99[0] / p99[1]
    if peers:
        best = max(map(rate, peers))
        large = "1000 rows, c=1"
        result["single_row_vs_best_peer_c8"] = rate(ours) / best
        if "aurora-sklearn" in found:
            result["same_engine_vs_best_peer_c8"] = rate("aurora-sklearn") / best
        result["start_vs_fastest_peer"] = found[ours]["start_s"] / min(found[name]["start_s"] for name in peers)
        result["rss_vs_smallest_peer"] = rss(ours) / min(map(rss, peers))
        result["batch_1000_json_vs_best_peer"] = rate(ours, large) / max(rate(name, large) for name in peers)
    return {name: round(value, 3) for name, value in result.items()}


def print_table(found: dict[str, dict[str, dict[str, Any]]]) -> None:
    """``found`` is by model and server."""
    print(
        ROW.format(
            "model, server", "start s", "RSS MB", "peak", "load", "req/s", "p50 ms", "p99 ms", "CPU µs", "errors"
        )
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for model, name, one in ((model, name, one) for model, of_model in found.items() for name, one in of_model.items()):
        for load, seen in one["loads"].items():
            figures = (f"{seen['per_second']:.0f}", f"{seen['p50_ms']:.2f}", f"{seen['p99_ms']:.2f}")
            memory = (f"{seen['rss_mb']:.0f}", f"{one['peak_mb']:.0f}")
            counts = (f"{seen['cpu_us']:.0f}", f"{seen['errors']:.0f}")
            short = load.replace(" rows", "").replace(" row", "")
            print(ROW.format(f"{model}, {name}", f"{one['start_s']:.1f}", *memory, short, *figures, *counts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--environments", type=Path, required=True)
    parser.add_argument("--python", type=Path, required=True, help="of Aurora, with the libraries of its image")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--quick", action="store_true", help="one round of 3 s a figure")
    parser.add_argument("--models", nargs="*", choices=SERVERS, default=list(SERVERS))
    parser.add_argument("--only", nargs="*", help="names of servers")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 1, 3
    found: dict[str, dict[str, dict[str, Any]]] = {model: {} for model in arguments.models}
    for model in found:
        work = arguments.work_dir / model
        recipes = servers(work, arguments.environments, arguments.python)
        chosen = [name for name in SERVERS[model] if arguments.only is None or name in arguments.only]
        rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
        for number in range(arguments.rounds):  # rounds interleave the servers: what disturbs, disturbs all
            for name in chosen:
                print(f"{model}, round {number + 1}: {name} …", flush=True)
                try:
                    log = work / f"{name}.log"
                    rounds[name].append(measure(recipes[name], work, seconds=arguments.seconds, log=log))
                except (Failed, OSError, http.client.HTTPException) as error:
                    print(f"{name}: {error!r}", flush=True)
        found[model] = {name: medians(of_one) for name, of_one in rounds.items() if of_one}
    print_table(found)
    if "aurora-trees" in found.get("forest", {}):
        print(json.dumps(ratios(found["forest"])))


if __name__ == "__main__":
    main()
