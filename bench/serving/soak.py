"""A million requests, good and bad, to one server: does its memory stay flat, and is health answered meanwhile?

Prints a table of resident memory over the requests, and ends with 1 when a request ended with 5xx, or when memory still
grew by more than LIMIT_KB per 100,000 requests over the last three quarters.
"""

import argparse
import json
import re
import statistics
import sys
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

from bench.serving.measure import Running, running
from bench.serving.servers import Server

LIMIT_KB = 256.0
CONNECTIONS = 16
LARGE = 200
"""Rows of every 32nd request."""
METRICS_PORT = 18179


def mixed(work: Path) -> Path:
    """Single rows, every 32nd request with LARGE rows, every eighth one bad in one of four ways."""
    single = (work / "input-1.jsonl").read_text().splitlines()
    tensor = json.loads((work / "input-1000.jsonl").read_text())["inputs"][0]
    columns = tensor["shape"][1]
    large = json.dumps({"inputs": [{**tensor, "shape": [LARGE, columns], "data": tensor["data"][: LARGE * columns]}]})
    bad = ("{", '{"inputs": []}', single[0].replace("[1, 8]", "[2, 8]"), single[0].replace("FP64", "FP8"))
    lines = list(single)
    for place in range(len(lines)):
        if place % 32 == 0:
            lines[place] = large
        elif place % 8 == 4:
            lines[place] = bad[place // 8 % len(bad)]
    path = work / "mixed.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def answered() -> Counter[str]:
    """Requests so far, by status."""
    with urllib.request.urlopen(f"http://127.0.0.1:{METRICS_PORT}/metrics", timeout=30) as response:
        text = response.read().decode()
    found = re.findall(r'^aurora_inference_requests_total\{.*?code="(\d+)".*?\} (\S+)$', text, re.MULTILINE)
    return Counter({code: round(float(count)) for code, count in found})


def ask_for_health(server: Server, stop: threading.Event, seconds: list[float]) -> None:
    while not stop.wait(0.05):
        begun = time.perf_counter()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/v2/health/ready", timeout=30):
            seconds.append(time.perf_counter() - begun)


def slope_kb(samples: list[tuple[float, float]]) -> float:
    """Growth of memory in kB per 100,000 requests, over the last three quarters of (requests, MB)."""
    late = samples[len(samples) // 4 :]
    requests, memory = zip(*late, strict=True)
    return statistics.linear_regression(requests, memory).slope * 1024 * 100_000


def soak(started: Running, bodies: Path, requests: int) -> list[tuple[float, float]]:
    """(requests so far, resident MB), about every ten seconds."""
    samples: list[tuple[float, float]] = []
    while (so_far := answered().total()) < requests:
        samples.append((so_far, started.memory_mb("VmRSS")))
        print(f"| {so_far:>9} | {samples[-1][1]:>7.1f} |", flush=True)
        started.load(bodies, connections=CONNECTIONS, seconds=10)
    samples.append((so_far, started.memory_mb("VmRSS")))
    return samples


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--python", type=Path, required=True, help="of Aurora, with the libraries of its image")
    parser.add_argument("--requests", type=int, default=1_000_000)
    arguments = parser.parse_args()
    flags = ["--store", str(arguments.work_dir / "store"), "--model", "bench-trees", "--host", "127.0.0.1"]
    server = Server(
        command=[
            *(str(arguments.python), "-m", "aurora_runtime.inference", *flags),
            *("--port", "18073", "--metrics-port", str(METRICS_PORT)),
        ],
        port=18073,
        model="bench-trees",
    )
    bodies = mixed(arguments.work_dir)
    health: list[float] = []
    with running(server, arguments.work_dir / "soak.log") as started:
        started.first_answer((arguments.work_dir / "input-1.jsonl").read_bytes().splitlines()[0])
        while_loading = answered()
        stop = threading.Event()
        asking = threading.Thread(target=ask_for_health, args=(server, stop, health))
        asking.start()
        print("| requests | RSS MB |\n|---|---|")
        try:
            samples = soak(started, bodies, arguments.requests)
        finally:
            stop.set()
            asking.join()
        codes = answered() - while_loading
    growth = slope_kb(samples)
    health.sort()
    print(f"| {samples[-1][0]:>9.0f} | {samples[-1][1]:>7.1f} |")
    print(f"by status: {', '.join(f'{code}: {count}' for code, count in sorted(codes.items()))}")
    print(f"growth over the last three quarters: {growth:.0f} kB per 100,000 requests (limit {LIMIT_KB:.0f})")
    print(f"health: {len(health)} times, p50 {health[len(health) // 2] * 1000:.1f} ms, ", end="")
    print(f"p99 {health[int(len(health) * 0.99)] * 1000:.1f} ms, worst {health[-1] * 1000:.1f} ms")
    return int(growth > LIMIT_KB or any(code.startswith("5") for code in codes))


if __name__ == "__main__":
    sys.exit(main())
