"""Compares Kubernetes controller runtimes that do the same work. See README.md."""

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench.controller.cluster import Cluster, Json
from bench.controller.phases import Run
from bench.controller.process import Controller, machine_seconds
from bench.controller.report import summary, table


async def measure(name: str, command: str, n: int, options: argparse.Namespace) -> Json:
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-{n}-", dir=options.work_dir))
    busy = machine_seconds()["busy"]
    await asyncio.sleep(1)
    result: Json = {"impl": name, "n": n, "cores_busy_before": machine_seconds()["busy"] - busy}
    cluster = Cluster(options.kube_bin, folder)
    controller = Controller(command, cluster.kubeconfig, options.controller_core, folder / "controller.log")
    start = time.monotonic()
    try:
        async with await cluster.start() as api:
            run = Run(api, cluster, controller, n, options.steady)
            result["metrics"] = run.metrics
            await run.all_phases()
        result["converged"] = True
    except Exception as error:  # noqa: BLE001  whatever broke one run, the others are still measured
        causes = error.exceptions if isinstance(error, ExceptionGroup) else [error]
        result["converged"] = False
        result["error"] = "; ".join(f"{type(cause).__name__}: {cause}" for cause in causes)
    finally:
        controller.kill()
        cluster.stop()
    result["took_s"] = time.monotonic() - start
    if result["converged"] and not options.keep:
        shutil.rmtree(folder)
    return result


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--impl", action="append", required=True, metavar="NAME=COMMAND")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run these implementations alone")
    parser.add_argument("--n", type=int, nargs="+", default=[200, 1000], help="widgets per run")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--kube-bin", type=Path, required=True, help="folder with etcd and kube-apiserver")
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    parser.add_argument("--add", action="store_true", help="to the results in --out, as further rounds")
    parser.add_argument("--work-dir", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--keep", action="store_true", help="keep logs of runs that converged, too")
    parser.add_argument("--steady", type=float, default=30, help="seconds to watch an idle controller")
    parser.add_argument("--server-core", type=int, default=0, help="API server, etcd and this harness")
    parser.add_argument("--controller-core", type=int, default=1)
    return parser.parse_args()


async def main() -> int:
    options, task = arguments(), asyncio.current_task()
    assert task is not None
    implementations = [one.split("=", 1) for one in options.impl]
    if options.only:
        implementations = [one for one in implementations if one[0] in options.only]
    os.sched_setaffinity(0, {options.server_core})
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    results: list[Json] = json.loads(options.out.read_text()) if options.add and options.out.exists() else []
    last = max((result["round"] for result in results), default=0)
    for round_ in range(last + 1, last + options.rounds + 1):
        for n in options.n:
            for name, command in implementations:
                result = await measure(name, command, n, options) | {"round": round_}
                results.append(result)
                options.out.write_text(json.dumps(results, indent=1))
                outcome = "converged" if result["converged"] else f"FAILED: {result['error']}"
                print(f"round {round_}, {name}, n={n}: {outcome}, {result['took_s']:.0f} s", file=sys.stderr)
    print(table(results))
    print(summary(results))
    return 0 if all(result["converged"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
