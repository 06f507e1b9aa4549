"""What ONNX Runtime is kept from."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import Ridge

from aurora_runtime.trainer.conversion.convert import to_onnx

PREDICT = """
import sys
from pathlib import Path
import numpy as np
from aurora_runtime.store.onnx_engine import OnnxEngine

engine = OnnxEngine(Path(sys.argv[1]))
engine.predict(np.zeros((1, 2)))
"""


def test_a_prediction_leaves_no_trace_and_says_nothing(tmp_path: Path) -> None:
    """Its packages write an identifier of the machine below HOME, for usage data that they send to their maker."""
    model, home = tmp_path / "model.onnx", tmp_path / "home"
    model.write_bytes(to_onnx(Ridge().fit(np.eye(2), np.arange(2.0))))
    home.mkdir()
    # On a machine of continuous integration they send nothing anyway.
    environment = {name: value for name, value in os.environ.items() if name not in {"CI", "ORT_DISABLE_TELEMETRY"}}
    told = subprocess.run(
        [sys.executable, "-c", PREDICT, model],
        env={**environment, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")},
        capture_output=True,
        check=True,
    )
    assert (told.stdout, told.stderr) == (b"", b"")
    assert list(home.rglob("*")) == []
