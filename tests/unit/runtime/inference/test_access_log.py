"""A request has one name, in its response and in the log, and the log is no heavier than asked."""

import pytest
from structlog.testing import capture_logs

from aurora_runtime.inference.access_log import AccessLog
from aurora_runtime.inference.request_id import RequestIds
from aurora_runtime.inference.sampling import LINES_PER_SECOND, Sampler
from tests.unit.runtime.inference.models import KEY, MODEL, Serving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PATH = f"/v2/models/{MODEL}/infer"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({"X-Request-Id": "order-17/a"}, "order-17/a", id="the client's own"),
        pytest.param({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, TRACE, id="of a trace"),
        pytest.param(
            {"X-Request-Id": "mine", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, "mine", id="its own before it"
        ),
        pytest.param({}, "p-1", id="none"),
        pytest.param({"X-Request-Id": "a b"}, "p-1", id="with a space"),
        pytest.param({"X-Request-Id": 'x","admin":"'}, "p-1", id="made to break a log line"),
        pytest.param({"X-Request-Id": "x" * 129}, "p-1", id="too long"),
        pytest.param({"X-Request-Id": ""}, "p-1", id="empty"),
        pytest.param({"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"}, "p-1", id="a trace of zeros"),
        pytest.param({"traceparent": f"ff-{TRACE}-00f067aa0ba902b7-01"}, "p-1", id="an impossible version"),
        pytest.param({"traceparent": TRACE}, "p-1", id="no traceparent"),
    ],
)
def test_a_well_formed_id_is_taken_and_any_other_is_replaced(headers: dict[str, str], expected: str) -> None:
    assert RequestIds(beginning="p").of(headers) == expected


def test_two_processes_make_different_ids() -> None:
    assert RequestIds().of({}) != RequestIds().of({})


@pytest.mark.parametrize(("share", "logged"), [(0.0, 0), (0.1, 10), (1.0, 100)])
def test_a_share_of_the_successful_requests_is_logged(share: float, logged: int) -> None:
    access_log = AccessLog(Sampler(share=share, clock=lambda: 0.0))
    assert sum(access_log.wants(PATH, 200) for _ in range(100)) == logged


def test_errors_are_logged_whatever_the_share() -> None:
    access_log = AccessLog(Sampler(share=0, clock=lambda: 0.0))
    assert all(access_log.wants(PATH, status) for status in (400, 401, 404, 429, 499, 500, 503))


def test_health_is_not_logged() -> None:
    assert not AccessLog(Sampler(share=1, clock=lambda: 0.0)).wants("/v2/health/ready", 503)


def test_a_flood_of_errors_is_cut_and_what_was_dropped_is_told() -> None:
    now = [0.0]
    access_log = AccessLog(Sampler(share=0, clock=lambda: now[0]))
    assert sum(access_log.wants(PATH, 401) for _ in range(LINES_PER_SECOND + 7)) == LINES_PER_SECOND
    now[0] = 1.0
    assert access_log.wants(PATH, 401)
    with capture_logs() as logs:
        for _ in range(2):
            access_log.write(request_id="a", method="POST", path=PATH, status=401, seconds=0.0015)
    assert [line.get("dropped_lines") for line in logs] == [7, None]
    assert logs[0]["milliseconds"] == 1.5


async def test_an_answer_and_its_line_carry_the_clients_id_and_no_key(guarded: Serving) -> None:
    guarded.routes.access_log = AccessLog(Sampler(share=1))
    with capture_logs() as logs:
        good = await guarded.infer(headers={"X-API-Key": KEY, "X-Request-Id": "good"})
        bad = await guarded.infer(headers={"X-API-Key": "mistyped", "X-Request-Id": "bad"})
    assert [reply.headers["X-Request-Id"] for reply in (good, bad)] == ["good", "bad"]
    assert [(line["request_id"], line["status"], line["path"]) for line in logs] == [
        ("good", 200, PATH),
        ("bad", 401, PATH),
    ]
    assert KEY not in str(logs)
    assert "mistyped" not in str(logs)


async def test_by_default_successful_requests_are_not_logged(serving: Serving) -> None:
    with capture_logs() as logs:
        await serving.infer()
    assert logs == []
