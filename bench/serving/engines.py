"""What answers the forest, in one process and in turns: CPU per call, and its ratio to ONNX Runtime's."""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np

from aurora_runtime.store.onnx_engine import OnnxEngine
from aurora_runtime.store.pickled_model import use_one_core
from aurora_runtime.store.shortcuts import shortcut_of
from aurora_runtime.store.trees.model_file import TreesEngine

SIZES = (1, 8, 32, 1000)
PEER = "ONNX Runtime"
Predict = Callable[[np.ndarray], object]


def engines(work: Path) -> dict[str, tuple[Predict, float]]:
    """What predicts, and the CPU seconds that loading it took."""

    def loaded(load: Callable[[], Predict]) -> tuple[Predict, float]:
        begun = time.process_time()
        return load(), time.process_time() - begun

    def known(shortcut: Predict | None) -> Predict:
        assert shortcut is not None, "nothing to measure"
        return shortcut

    forest = joblib.load(work / "model.joblib")
    use_one_core(forest)
    file = work / "store/bench-trees/1/model.npz"
    return {
        PEER: loaded(lambda: OnnxEngine(work / "model.onnx").predict),
        "trees": loaded(lambda: TreesEngine.load(file, path=file).predict),
        "trees of the estimator": loaded(lambda: known(shortcut_of(forest))),
        "scikit-learn": (forest.predict, 0.0),
    }


def microseconds(predict: Predict, rows: np.ndarray, size: int) -> float:
    """CPU of a call, over different rows."""
    calls = max(3, 256 // size)
    begun = time.process_time()
    for call in range(calls):
        first = call * size % (len(rows) - size + 1)
        predict(rows[first : first + size])
    return (time.process_time() - begun) / calls * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--turns", type=int, default=10)
    arguments = parser.parse_args()
    request = json.loads((arguments.work_dir / "predict-1000.jsonl").read_text())["inputs"][0]
    rows = np.array(request["data"]).reshape(request["shape"])
    found = engines(arguments.work_dir)
    costs: dict[tuple[str, int], list[float]] = {}
    for _ in range(arguments.turns):
        for name, (predict, _) in found.items():
            for size in SIZES:
                costs.setdefault((name, size), []).append(microseconds(predict, rows, size))
    print(
        "| engine | load, CPU s | "
        + " | ".join(f"{size} rows, µs: lowest · median · ÷ {PEER}" for size in SIZES)
        + " |"
    )
    print("|---|---:|" + "---:|" * len(SIZES))
    for name, (_, load) in found.items():
        cells = []
        for size in SIZES:
            lowest, median = min(costs[name, size]), statistics.median(costs[name, size])
            cells.append(f"{lowest:.0f} · {median:.0f} · {lowest / min(costs[PEER, size]):.2f}")
        print(f"| {name} | {load:.2f} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
