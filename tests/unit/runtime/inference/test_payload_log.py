"""Values of requests reach the log only where they are asked for, and never those that are to be hidden."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import orjson
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from structlog.testing import capture_logs

from aurora_runtime.contract import ExitCode
from aurora_runtime.inference.errors import InvalidSettings
from aurora_runtime.inference.model import LoadedModel
from aurora_runtime.inference.payload_log import MOST_VALUES, PayloadLog
from aurora_runtime.inference.sampling import LINES_PER_SECOND, Sampler
from aurora_runtime.store.descriptor import Signature, TensorSpec
from aurora_runtime.store.model_store import ModelStore
from tests.unit.runtime.inference.models import (
    KEY,
    MODEL,
    PREDICTION,
    PROBABILITIES,
    ROW,
    Serving,
    a_body,
    a_regressor,
    a_tensor,
    publish,
    some_rows,
)
from tests.unit.runtime.inference.processes import SOURCES, a_process, closed

SECRET = 31415.926535
GOLDEN = some_rows(5, seed=8)
PATH = f"/v2/models/{MODEL}/infer"
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: a\r\n"


def a_payload_log(model: LoadedModel, *redact: str, share: float = 1.0) -> PayloadLog:
    sampler = Sampler(share=share, clock=lambda: 0.0)
    return PayloadLog(sampler, signature=model.descriptor.signature, redact=redact)


def a_picky_estimator() -> Any:
    """Fails for every value that is not in the golden rows, with a message that quotes it."""
    return make_pipeline(OneHotEncoder(dtype="float64"), Ridge()).fit(GOLDEN, GOLDEN.sum(axis=1))


@pytest.fixture
def picky(tmp_path: Path) -> Path:
    """A store."""
    publish(ModelStore(root=tmp_path), a_picky_estimator())
    return tmp_path


async def asked_raw(port: int, text: str) -> None:
    """Sends what no client library would, and waits until the connection is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text.encode())
    writer.write_eof()
    await reader.read()
    await closed(writer)


async def test_by_default_no_value_of_a_request_is_in_any_line_whatever_becomes_of_it(picky: Path) -> None:
    async with a_process(picky, "--log-level", "debug", "--access-log-share", "1") as server:
        await server.logged("ready")
        port = await server.port("http")
        bodies: list[tuple[int, bytes, dict[str, str]]] = [
            (200, orjson.dumps(a_body(a_tensor(data=GOLDEN[0].tolist()))), {}),
            (500, orjson.dumps(a_body(a_tensor(data=[SECRET, SECRET, SECRET]))), {}),
            (400, orjson.dumps(a_body(a_tensor(data=[SECRET, str(SECRET), SECRET]))), {}),
            (400, orjson.dumps(a_body(a_tensor(datatype="FP16", data=[SECRET, SECRET * 10, SECRET]))), {}),
            (400, orjson.dumps(a_body(a_tensor(name=str(SECRET)))), {}),
            (400, orjson.dumps({**a_body(a_tensor()), "parameters": {str(SECRET): [SECRET]}}), {}),
            (400, b'{"inputs": [%f' % SECRET, {}),
            (400, b"%f" % SECRET, {"Content-Encoding": "gzip"}),
        ]
        answers = []
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            for status, body, headers in bodies:
                headers |= {"Content-Type": "application/json", "Authorization": f"Bearer {SECRET}"}
                async with session.post(PATH, data=body, headers=headers) as response:
                    assert response.status == status
                    answers.append(await response.json())
        chunked = f"{HEAD}Transfer-Encoding: chunked\r\n\r\n{SECRET}\r\n{SECRET}\r\n"
        await asked_raw(port, chunked)
        await asked_raw(port, chunked.replace("infer", "nowhere"))  # answered before its body is looked at
        await asked_raw(port, f"{HEAD}Content-Length: 100\r\n\r\n{SECRET}")
        await asked_raw(port, f"{SECRET}\r\n\r\n")
        server.process.terminate()
        assert await server.exit_code() == ExitCode.OK
    statuses = [line["status"] for line in server.log if line["event"] == "request"]
    assert statuses[: len(bodies)] == [status for status, *_ in bodies]
    (failed,) = (line for line in server.log if line["event"] == "a request failed")
    assert failed["error"] == "ValueError"
    assert "_encoders.py" in failed["traceback"]
    told = json.dumps(server.log)
    for value in (SECRET, *answers[0]["outputs"][0]["data"], *GOLDEN[0]):
        assert f"{value:.5f}"[:-1] not in told


async def test_an_asked_payload_is_a_line_of_values_by_name_and_has_no_key(
    guarded: Serving, model: LoadedModel
) -> None:
    guarded.routes.payload_log = a_payload_log(model, "income")
    with capture_logs() as logs:
        await guarded.infer(headers={"X-API-Key": KEY, "X-Request-Id": "order-17"})
    assert logs == [
        {
            "event": "payload",
            "log_level": "info",
            "request_id": "order-17",
            "rows": 1,
            "inputs": {"rooms": [0.1], "age": [-0.2], "income": "[redacted]"},
            "outputs": {"prediction": a_regressor().predict([ROW]).tolist()},
        }
    ]


async def test_outputs_are_hidden_by_name_too(species: Serving, species_model: LoadedModel) -> None:
    species.routes.payload_log = a_payload_log(species_model, "label", "rooms")
    with capture_logs() as logs:
        answered = await species.infer()
    assert logs[0]["inputs"]["rooms"] == logs[0]["outputs"]["label"] == "[redacted]"
    assert [logs[0]["outputs"]["probabilities"]] == [
        [output["data"]] for output in answered.body["outputs"] if output["name"] == "probabilities"
    ]


async def test_what_was_refused_is_not_shown(serving: Serving, model: LoadedModel) -> None:
    serving.routes.payload_log = a_payload_log(model)
    with capture_logs() as logs:
        assert (await serving.infer(a_body(a_tensor(data=[SECRET, SECRET, "x"])))).status == 400
    assert [line["event"] for line in logs] == ["request"]
    assert str(SECRET) not in str(logs)


@pytest.mark.parametrize(("features", "classes"), [(3, 2), (1000, 1000), (1, 1)])
def test_a_line_is_bounded_however_many_rows_features_and_classes_there_are(features: int, classes: int) -> None:
    inputs = [TensorSpec(name=f"f{number}", datatype="FP64", shape=[-1]) for number in range(features)]
    signature = Signature(inputs=inputs, outputs=[PREDICTION, PROBABILITIES])
    answers = {"prediction": np.full(1000, np.pi), "probabilities": np.full((1000, classes), np.pi)}
    with capture_logs() as logs:
        payloads = PayloadLog(Sampler(share=1), signature=signature, redact=())
        payloads.offer("a", np.full((1000, features), np.pi), answers)
    assert logs[0]["rows"] == 1000
    shown = (logs[0]["inputs"].values(), logs[0]["outputs"]["prediction"], logs[0]["outputs"]["probabilities"])
    for values in shown:
        assert 0 < np.size(list(values)) <= MOST_VALUES
    assert len(orjson.dumps(logs[0])) < 16 * 1024 * 1.5


@pytest.mark.parametrize(("share", "lines"), [(0.01, 1), (0.5, 50), (1.0, LINES_PER_SECOND)])
def test_a_share_is_logged_at_a_bounded_rate(model: LoadedModel, share: float, lines: int) -> None:
    payloads = a_payload_log(model, share=share)
    with capture_logs() as logs:
        for _ in range(100 if share < 1 else 2 * LINES_PER_SECOND):
            payloads.offer("a", some_rows(1), {"prediction": np.ones(1)})
    assert len(logs) == lines


def test_a_name_that_the_model_does_not_have_is_refused(model: LoadedModel) -> None:
    with pytest.raises(InvalidSettings, match=r"--payload-log .*no input or output 'incmoe', 'label'"):
        a_payload_log(model, "income", "incmoe", "label")


async def test_a_server_ends_rather_than_show_what_a_typo_does_not_hide(store: ModelStore) -> None:
    async with a_process(store.root, "--payload-log", '{"percent": 1, "redact": ["incmoe"]}') as server:
        assert await server.exit_code() == ExitCode.INVALID_INPUT
    assert server.log[-1]["event"] == "settings refused"
    assert "'incmoe'" in server.log[-1]["error"]
    assert "ready" not in [line["event"] for line in server.log]


def test_payloads_that_were_asked_for_are_logged_at_any_level() -> None:
    code = (
        "from aurora_runtime.inference import access_log, payload_log, program\n"
        "program.begin_logging('error')\n"
        "access_log.log.info('request')\n"
        "payload_log.log.info('payload')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env={"PYTHONPATH": SOURCES})
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["payload"]
