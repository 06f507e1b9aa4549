"""An address that keeps failing is told to wait; a right key is never."""

from aurora_runtime.inference.auth_failures import BURST, MOST_ADDRESSES, AuthFailures
from tests.unit.runtime.inference.models import KEY, Serving


class Seconds:
    """A clock that stands until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def exhausted(clock: Seconds, address: str = "10.0.0.1") -> AuthFailures:
    failures = AuthFailures(clock=clock)
    assert [failures.record(address) for _ in range(int(BURST))] == [0] * int(BURST)
    return failures


def test_beyond_the_burst_an_address_waits_until_it_has_earned_another_failure() -> None:
    clock = Seconds()
    failures = exhausted(clock)
    assert failures.record("10.0.0.1") == 1
    clock.now = 0.9
    assert failures.record("10.0.0.1") == 1
    clock.now = 1.0
    assert failures.record("10.0.0.1") == 0
    assert failures.record("10.0.0.1") == 1


def test_a_pause_earns_no_more_than_the_burst() -> None:
    clock = Seconds()
    failures = exhausted(clock)
    clock.now = 1e6
    assert [failures.record("10.0.0.1") for _ in range(int(BURST) + 1)] == [0] * int(BURST) + [1]


def test_one_address_does_not_pay_for_another() -> None:
    assert exhausted(Seconds()).record("10.0.0.2") == 0


def test_a_flood_of_addresses_is_forgotten_oldest_first() -> None:
    failures = exhausted(Seconds())
    for number in range(MOST_ADDRESSES):
        failures.record(f"10.1.{number // 256}.{number % 256}")
    assert len(failures) == MOST_ADDRESSES
    assert failures.record("10.0.0.1") == 0


async def test_a_right_key_is_answered_although_its_address_has_failed_too_often(guarded: Serving) -> None:
    guarded.routes.failures = AuthFailures(clock=Seconds())
    codes = [(await guarded.infer(headers={"X-API-Key": "wrong"})).status for _ in range(int(BURST))]
    assert set(codes) == {401}
    refused = await guarded.infer(headers={"X-API-Key": "wrong"})
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    assert "API key" in refused.error
    assert (await guarded.infer(headers={"X-API-Key": KEY})).status == 200
    assert guarded.metrics.refused_keys == {"wrong": int(BURST), "limited": 1}
    assert b'aurora_inference_unauthorized_total{model="housing",reason="limited"' in guarded.metrics.render()
