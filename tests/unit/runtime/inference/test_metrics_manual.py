"""The table of docs/serving.md lists every series of /metrics, with its type and labels, and no other."""

import re
from pathlib import Path

import numpy as np

from aurora_runtime.inference.metrics import LABELS, ServerMetrics
from aurora_runtime.inference.model_watch import ModelWatch
from aurora_runtime.store.descriptor import Signature, TensorSpec
from tests.unit.runtime.inference.models import LABEL, MODEL, PREDICTION, REVISION

MANUAL = Path(__file__).parents[4] / "docs" / "serving.md"
PROCESS = "process_*"
"""Stands for what the Prometheus client tells of any process."""

Series = dict[str, tuple[str, set[str]]]
"""Name → type and names of the labels."""


def documented() -> Series:
    section = MANUAL.read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]
    series = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            name, kind, labels, _meaning = (cell.strip() for cell in line.strip("|").split("|"))
            common = set() if labels == "(none)" else set(LABELS)
            series[name.strip("`")] = (kind.partition(",")[0], common | set(re.findall(r"`(\w+)`", labels)))
    return series


def shown(metrics: ServerMetrics) -> Series:
    series: Series = {}
    name = ""
    for line in metrics.render().decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            if name.startswith("process_"):
                name, kind = PROCESS, ""
            series.setdefault(name, (kind, set()))
        elif not line.startswith("#"):
            series[name][1].update(set(re.findall(r'(\w+)="', line)) - {"le"})
    return series


def busy() -> ServerMetrics:
    """Metrics of a server that has counted something of each kind."""
    metrics = ServerMetrics(model=MODEL, version=1, revision=REVISION)
    signature = Signature(
        inputs=[TensorSpec(name="rooms", datatype="FP64", shape=[-1], minimum=0.0, maximum=1.0)],
        outputs=[PREDICTION, LABEL],
    )
    metrics.watch = ModelWatch(signature, prediction_buckets=(1.0,))
    metrics.watch.observe({"rooms": 1}, {"prediction": np.zeros(1), "label": np.array(["cat"])})
    metrics.accepted_keys["team"] += 1
    metrics.begin()
    metrics.end(200)
    metrics.loaded(version=1, digest="sha256:" + "0" * 64, model_format="onnx", seconds=1.0)
    return metrics


def test_the_manual_lists_every_series_with_its_type_and_labels() -> None:
    assert documented() == shown(busy())
