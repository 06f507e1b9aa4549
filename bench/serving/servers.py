"""The servers that are compared, and how each is started. Every one listens on loopback."""

from dataclasses import dataclass, field
from pathlib import Path

PEERS = Path(__file__).parent / "peers"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A recipe. ``tensor`` is what it calls the matrix of features."""

    command: list[str]
    port: int
    model: str = "bench"
    tensor: str = "predict"
    tolerance: float | None = 0.0
    """Largest difference to scikit-learn's own predictions; None: it predicts nothing."""
    binary: bool = False
    """Whether it takes and gives binary tensors."""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"/v2/models/{self.model}/infer"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"


def mlserver_folder(work: Path) -> Path:
    """Its settings, in a folder of their own."""
    folder = work / "mlserver"
    (folder / "bench").mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(
        '{"host": "127.0.0.1", "http_port": 18081, "grpc_port": 18082, "metrics_port": 18083, "debug": false}'
    )
    (folder / "bench" / "model-settings.json").write_text(
        '{"name": "bench", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "%s"}}'
        % (work / "model.joblib")
    )
    return folder


def servers(work: Path, environments: Path, aurora: Path) -> dict[str, Server]:
    """Recipes by name. ``environments`` holds one per peer, ``aurora`` is Python with the image's libraries."""
    joblib = str(work / "model.joblib")

    def of_aurora(model_format: str, port: int, tolerance: float) -> Server:
        name = f"bench-{model_format}"
        flags = ["--store", str(work / "store"), "--model", name, "--host", "127.0.0.1", "--port", str(port)]
        return Server(
            command=[str(aurora), "-m", "aurora_runtime.inference", *flags, "--metrics-port", "0"],
            port=port,
            model=name,
            tensor="input",
            binary=True,
            tolerance=tolerance,
        )

    return {
        "aiohttp-constant": Server(
            command=[str(aurora), str(PEERS / "constant.py"), "18071"], port=18071, tolerance=None
        ),
        "aiohttp-onnx": Server(
            command=[str(aurora), str(PEERS / "simple_onnx.py"), "18072", str(work / "model.onnx")],
            environment={"ORT_DISABLE_TELEMETRY": "1"},
            port=18072,
            tolerance=1e-9,
        ),
        "aurora-trees": of_aurora("trees", 18073, 0.0),
        "aurora-sklearn": of_aurora("joblib", 18074, 0.0),
        "mlserver": Server(
            command=[str(environments / "mlserver/bin/mlserver"), "start", str(mlserver_folder(work))], port=18081
        ),
        "kserve": Server(
            command=[
                *(str(environments / "kserve/bin/python"), str(PEERS / "kserve_server.py")),
                *("--http_port", "18091", "--model_file", joblib),
            ],
            port=18091,
        ),
        "bentoml": Server(
            command=[
                *(str(environments / "bentoml/bin/bentoml"), "serve", "service:Served", "--working-dir", str(PEERS)),
                *("--host", "127.0.0.1", "--port", "18101"),
            ],
            port=18101,
            environment={
                "MODEL_FILE": joblib,
                "BENTOML_HOME": str(work / "bentoml"),
                "BENTOML_DO_NOT_TRACK": "True",
                "PATH": f"{environments}/bentoml/bin:/usr/bin:/bin",
            },
        ),
    }
