"""Bytes, compression and the OpenAPI document as they pass over HTTP."""

import gzip
import zlib
from typing import Any

import numpy as np
import orjson
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from aurora_runtime.inference.compression import LEAST_BYTES
from tests.unit.runtime.inference.binary_messages import binary_body, binary_headers, binary_tensor, read_binary
from tests.unit.runtime.inference.conftest import MAX_BODY_BYTES
from tests.unit.runtime.inference.models import KEY, MODEL, Serving, a_body, a_regressor, a_tensor, some_rows

ROWS = some_rows(4)
LENGTH = "Inference-Header-Content-Length"
# Their printed predictions are worth compressing, while as bytes they fit the test server's largest body.
MANY = 1000


async def post(serving: Serving, body: bytes, headers: dict[str, str]) -> tuple[int, Any, bytes]:
    """Status, headers and the body as it came."""
    path = f"/v2/models/{serving.model}/infer"
    async with serving.client.post(path, data=body, headers=headers, auto_decompress=False) as response:
        return response.status, response.headers, await response.read()


async def test_bytes_in_and_bytes_out_are_the_estimator_s_numbers(serving: Serving) -> None:
    body, headers = binary_body(binary_tensor(ROWS, datatype="FP64"), parameters={"binary_data_output": True})
    status, answered, data = await post(serving, body, headers)
    assert status == 200
    assert answered["Content-Type"] == "application/octet-stream"
    _, found = read_binary(data, int(answered[LENGTH]))
    assert np.frombuffer(found["prediction"], "<f8").tolist() == a_regressor().predict(ROWS).tolist()


@pytest.mark.parametrize("content_type", ["application/octet-stream", "application/json", None])
async def test_bytes_may_come_under_either_type_and_are_answered_in_json_unless_asked(
    serving: Serving, content_type: str | None
) -> None:
    body, headers = binary_body(binary_tensor(ROWS, datatype="FP64"))
    headers.pop("Content-Type")
    headers |= {"Content-Type": content_type} if content_type else {}
    async with serving.client.post(
        f"/v2/models/{MODEL}/infer", data=body, headers=headers, skip_auto_headers=["Content-Type"]
    ) as response:
        assert response.content_type == "application/json"
        answered = await response.json()
    assert answered["outputs"][0]["data"] == a_regressor().predict(ROWS).tolist()


async def test_a_body_of_nothing_but_numbers_is_answered_in_bytes(serving: Serving) -> None:
    status, answered, data = await post(serving, ROWS.tobytes(), binary_headers(0))
    assert status == 200
    _, found = read_binary(data, int(answered[LENGTH]))
    assert np.frombuffer(found["prediction"], "<f8").tolist() == a_regressor().predict(ROWS).tolist()


async def test_a_length_that_cannot_be_is_400(serving: Serving) -> None:
    reply = await serving.infer(b"{}", headers=binary_headers("three"))
    assert reply.status == 400
    assert reply.error.startswith(f"{LENGTH}: expected a whole number from 0 to 2")


@pytest.mark.parametrize(("coding", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_compressed_body_is_read_and_bounded(serving: Serving, coding: str, encode: Any) -> None:
    headers = {"Content-Encoding": coding}
    assert (await serving.infer(encode(orjson.dumps(a_body())), headers=headers)).status == 200
    bomb = encode(orjson.dumps(a_body()) + b" " * MAX_BODY_BYTES)
    assert len(bomb) < MAX_BODY_BYTES
    reply = await serving.infer(bomb, headers=headers)
    assert reply.status == 413
    assert reply.error == f"body: expected at most {MAX_BODY_BYTES} bytes, decompressed"


async def test_the_length_of_the_json_is_that_before_compression(serving: Serving) -> None:
    body, headers = binary_body(binary_tensor(ROWS, datatype="FP64"))
    reply = await serving.infer(gzip.compress(body), headers={**headers, "Content-Encoding": "gzip"})
    assert reply.body["outputs"][0]["data"] == a_regressor().predict(ROWS).tolist()


async def many_rows(serving: Serving, accepted: str) -> tuple[Any, bytes]:
    """The answer to a request of few bytes for so many rows that their printed predictions are worth compressing."""
    flags = np.zeros((MANY, 3), dtype=np.bool_)
    body, headers = binary_body(binary_tensor(flags, datatype="BOOL"))
    packed = gzip.compress(body)
    assert len(packed) < MAX_BODY_BYTES
    headers |= {"Content-Encoding": "gzip", "Accept-Encoding": accepted}
    status, answered, data = await post(serving, packed, headers)
    assert status == 200
    return answered, data


@pytest.mark.parametrize(
    ("coding", "decode"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)], ids=["gzip", "deflate"]
)
async def test_a_long_answer_is_compressed_for_who_accepts_it(serving: Serving, coding: str, decode: Any) -> None:
    plain, expected = await many_rows(serving, "identity")
    assert len(expected) >= LEAST_BYTES
    assert "Content-Encoding" not in plain
    answered, data = await many_rows(serving, coding)
    assert answered["Content-Encoding"] == coding
    assert decode(data) == expected
    assert answered["Vary"] == plain["Vary"] == "Accept-Encoding"


async def test_a_short_answer_is_not(serving: Serving) -> None:
    headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
    status, answered, _ = await post(serving, orjson.dumps(a_body()), headers)
    assert status == 200
    assert "Content-Encoding" not in answered
    assert "Vary" not in answered


@pytest.mark.parametrize("path", ["/openapi.json", f"/v2/models/{MODEL}/openapi.json"])
async def test_the_document_is_where_metadata_are_and_its_example_is_answered(serving: Serving, path: str) -> None:
    document = (await serving.request("GET", path)).body
    OpenAPIV31SpecValidator(document).validate()
    infer = document["paths"][f"/v2/models/{MODEL}/infer"]["post"]
    example = infer["requestBody"]["content"]["application/json"]["examples"]["golden"]["value"]
    golden = infer["responses"]["200"]["content"]["application/json"]["examples"]["golden"]["value"]
    assert (await serving.infer(example)).body["outputs"] == golden["outputs"]


@pytest.mark.parametrize("path", ["/openapi.json", f"/v2/models/{MODEL}/openapi.json"])
async def test_the_document_wants_a_key_as_metadata_do(guarded: Serving, path: str) -> None:
    assert (await guarded.request("GET", path)).status == 401
    assert (await guarded.request("GET", path, headers={"X-API-Key": KEY})).status == 200


async def test_every_path_of_the_document_is_there(serving: Serving) -> None:
    paths = (await serving.request("GET", "/openapi.json")).body["paths"]
    for path, operations in paths.items():
        for method in operations:
            reply = await serving.request(method.upper(), path, json=a_body(a_tensor()))
            assert (path, reply.status) == (path, 200)


async def test_metadata_tell_the_alias_that_was_asked_for(serving: Serving) -> None:
    assert "alias" not in (await serving.request("GET", f"/v2/models/{MODEL}")).body["properties"]
    serving.routes.alias = "latest"
    properties = (await serving.request("GET", f"/v2/models/{MODEL}")).body["properties"]
    assert properties["alias"] == "latest"
    assert properties["trained_at"] == "2026-11-23T10:00:00Z"
