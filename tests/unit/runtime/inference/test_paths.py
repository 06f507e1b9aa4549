"""Each path means one endpoint, or nothing."""

import pytest

from aurora_runtime.inference.paths import Address, Endpoint, address_of


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2", Address(Endpoint.SERVER)),
        ("/v2/", Address(Endpoint.SERVER)),
        ("/openapi.json", Address(Endpoint.DOCUMENT)),
        ("/v2/health/live", Address(Endpoint.LIVE)),
        ("/v2/health/ready", Address(Endpoint.READY)),
        ("/v2/models/m", Address(Endpoint.MODEL, "m")),
        ("/v2/models/m/ready", Address(Endpoint.MODEL_READY, "m")),
        ("/v2/models/m/infer", Address(Endpoint.INFER, "m")),
        ("/v2/models/m/openapi.json", Address(Endpoint.DOCUMENT, "m")),
        ("/v2/models/m/versions/3", Address(Endpoint.MODEL, "m", "3")),
        ("/v2/models/m/versions/3/infer", Address(Endpoint.INFER, "m", "3")),
        ("/v2/models/versions/versions/3/ready", Address(Endpoint.MODEL_READY, "versions", "3")),
        ("/v2/models/a%20b%2Fc/infer", Address(Endpoint.INFER, "a b/c")),
    ],
)
def test_a_path_of_the_protocol_is_found(path: str, expected: Address) -> None:
    assert address_of(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/v2/health",
        "/v2/models",
        "/v2/models/",
        "/v2/models//infer",
        "/v2/models/m/",
        "/v2/models/m/infer/",
        "/v2/models/m/infer/x",
        "/v2/models/m/versions",
        "/v2/models/m/versions/",
        "/v2/models/m/versions/3/",
        "/v2/models/m/versions//infer",
        "/v2/models/m/versions/3/infer/x",
        "/v3/models/m/infer",
        "/x/v2/models/m/infer",
    ],
)
def test_any_other_path_means_nothing(path: str) -> None:
    assert address_of(path) is None
