"""Requests are merged only when they wait anyway, split exactly, and never pay for each other."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_runtime.inference.batching import Batcher, BatchLimits, Predict, Predicted, outcomes
from aurora_runtime.inference.costs import CHEAP_SECONDS, Costs
from aurora_runtime.inference.eager import Eager
from aurora_runtime.inference.errors import ClientTooBusy, InvalidRequest, TooBusy, TooLate
from aurora_runtime.inference.turn import Turn
from aurora_runtime.inference.workers import Workers
from aurora_runtime.store.engine import Answers, Rows
from tests.unit.runtime.inference.models import until


class Model:
    """Answers the double of the first feature; remembers its calls; refuses negative rows; waits while it is held."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.threads: list[int] = []
        self.free = threading.Event()
        self.free.set()

    def predict(self, rows: Rows) -> Answers:
        self.calls.append(len(rows))
        self.threads.append(threading.get_ident())
        assert self.free.wait(10)
        if (rows < 0).any():
            raise InvalidRequest("negative")
        return {"prediction": rows[:, 0] * 2, "pair": np.stack([rows[:, 0], -rows[:, 0]], axis=1)}

    @contextmanager
    def held(self) -> Iterator[None]:
        self.free.clear()
        try:
            yield
        finally:
            self.free.set()


def some(*values: float) -> Rows:
    return np.array([[value] for value in values])


@asynccontextmanager
async def a_batcher(model: Model, costs: Costs | None = None, **limits: float) -> AsyncIterator[Batcher]:
    sizes: list[int] = []
    async with Workers(threads=2) as workers:
        yield Batcher(
            predict=model.predict,
            workers=workers,
            limits=BatchLimits(**limits),  # type: ignore[arg-type]  # whole numbers are what they are
            observe=sizes.append,
            turn=Turn(),
            costs=costs or Costs(),
        )


async def predictions(batcher: Batcher, *values: float, client: str = "", clients: int = 1) -> list[float]:
    predicted = await batcher.ask(some(*values), client=client, clients=clients)
    return predicted.answers["prediction"].tolist()  # type: ignore[no-any-return]  # floats


def begun(batcher: Batcher, value: float) -> Eager[Predicted]:
    """One that came in this turn of the loop."""
    eager = Eager(batcher.ask(some(value)), ended=lambda _: None)
    batcher.turn.take(eager.go_on)
    return eager


async def answered(*asked: Eager[Predicted]) -> None:
    await until(lambda: all(one.result is not None for one in asked))


@asynccontextmanager
async def busy(model: Model, batcher: Batcher) -> AsyncIterator[list[asyncio.Task[list[float]]]]:
    """The only thread holds a first request; at the end all that was put in the list is awaited."""
    tasks: list[asyncio.Task[list[float]]] = []
    with model.held():
        first = asyncio.create_task(predictions(batcher, 1000))
        await until(lambda: model.calls != [])
        yield tasks
    await asyncio.gather(first, *tasks, return_exceptions=True)


def cheap() -> Costs:
    costs = Costs()
    for rows in (1, 2, 4, 8, 16, 32, 64):
        costs.record(rows, 0.0)
    return costs


async def test_what_comes_in_one_turn_is_predicted_together_and_split_exactly() -> None:
    model = Model()
    async with a_batcher(model) as batcher:
        answers = await asyncio.gather(
            predictions(batcher, 1), predictions(batcher, 2, 3), predictions(batcher, 4), predictions(batcher, 5, 6, 7)
        )
    assert list(answers) == [[2], [4, 6], [8], [10, 12, 14]]
    assert model.calls == [7]


async def test_a_lonely_request_does_not_wait_for_others() -> None:
    model = Model()
    async with a_batcher(model) as batcher:
        assert await predictions(batcher, 3) == [6]
    assert model.calls == [1]


async def test_while_the_threads_are_busy_requests_gather_up_to_the_limit_of_rows() -> None:
    model = Model()
    async with a_batcher(model, rows=4) as batcher:
        async with busy(model, batcher) as tasks:
            tasks += [asyncio.create_task(predictions(batcher, value, value)) for value in range(1, 4)]
            tasks.append(asyncio.create_task(predictions(batcher, *range(9))))
            await until(lambda: batcher.waiting == 4)
        assert [task.result() for task in tasks] == [[2, 2], [4, 4], [6, 6], [value * 2.0 for value in range(9)]]
    assert model.calls == [1, 4, 2, 9]


async def test_a_limit_of_one_row_merges_nothing() -> None:
    model = Model()
    async with a_batcher(model, rows=1) as batcher:
        assert await asyncio.gather(*(predictions(batcher, value) for value in (1, 2))) == [[2], [4]]
    assert model.calls == [1, 1]


async def test_a_bad_request_fails_alone() -> None:
    async with a_batcher(Model()) as batcher:
        good, bad, other = await asyncio.gather(
            predictions(batcher, 1), predictions(batcher, -1), predictions(batcher, 2), return_exceptions=True
        )
    assert (good, other) == ([2], [4])
    assert isinstance(bad, InvalidRequest)


async def test_a_cheap_prediction_runs_on_the_loop_and_any_other_on_a_thread() -> None:
    model = Model()
    async with a_batcher(model, cheap()) as batcher:
        await predictions(batcher, 1)
    async with a_batcher(model) as batcher:
        await predictions(batcher, 1)
    assert [thread == threading.get_ident() for thread in model.threads] == [True, False]


async def test_what_is_cheap_is_not_predicted_before_who_waits_already() -> None:
    model = Model()
    async with a_batcher(model) as batcher:
        async with busy(model, batcher) as tasks:
            batcher.costs = cheap()  # only now: what keeps the thread busy must not run on the loop
            tasks.append(asyncio.create_task(predictions(batcher, *range(200))))
            await until(lambda: batcher.waiting == 1)
            waiting = begun(batcher, 2)
            assert waiting.result is None
        await until(lambda: waiting.result is not None)


async def test_one_turn_of_the_loop_predicts_one_request_at_once_and_merges_the_others() -> None:
    model = Model()
    async with a_batcher(model, cheap()) as batcher:
        first, *others = [begun(batcher, value) for value in range(8)]
        assert first.result is not None
        assert [one.result for one in others] == [None] * 7
        await answered(*others)
    assert model.calls == [1, 7]


async def test_after_a_turn_that_brought_many_the_next_looks_for_others_until_one_came_alone() -> None:
    model = Model()
    async with a_batcher(model, cheap()) as batcher:
        for _ in range(2):
            await answered(*(begun(batcher, value) for value in range(4)))
        lone = begun(batcher, 1)
        assert lone.result is None
        await answered(lone)
        assert begun(batcher, 1).result is not None
    assert model.calls == [1, 3, 4, 1, 1]


def test_what_was_slow_for_once_does_not_make_a_prediction_dear() -> None:
    costs = Costs()
    costs.record(1, 1e-4)
    costs.record(1, 10.0)
    assert costs.cheap(1)
    for _ in range(3):
        costs.record(1, 10.0)
    assert not costs.cheap(1)


def test_costs_are_known_by_size_and_follow_what_is_measured() -> None:
    costs = Costs()
    assert not costs.cheap(1)
    costs.record(1, CHEAP_SECONDS / 2)
    assert costs.cheap(1)
    assert not costs.cheap(2)
    costs.record(1, CHEAP_SECONDS * 100)
    assert not costs.cheap(1)
    for _ in range(50):
        costs.record(1, CHEAP_SECONDS / 2)
    assert costs.cheap(1)


async def test_nothing_is_computed_for_a_client_that_left() -> None:
    model = Model()
    async with a_batcher(model) as batcher:
        async with busy(model, batcher) as tasks:
            leaving = asyncio.create_task(predictions(batcher, 5))
            tasks.append(asyncio.create_task(predictions(batcher, 6)))
            await until(lambda: batcher.waiting == 2)
            leaving.cancel()
            await asyncio.wait([leaving])
        assert tasks[0].result() == [12]
    assert model.calls == [1, 1]


async def test_a_full_queue_refuses_at_once_but_not_for_those_who_left() -> None:
    model = Model()
    async with a_batcher(model, queue=2) as batcher, busy(model, batcher) as tasks:
        leaving = asyncio.create_task(predictions(batcher, 1))
        tasks.append(asyncio.create_task(predictions(batcher, 2)))
        await until(lambda: batcher.waiting == 2)
        with pytest.raises(TooBusy, match="2 requests"):
            await predictions(batcher, 3)
        leaving.cancel()
        await asyncio.wait([leaving])
        tasks.append(asyncio.create_task(predictions(batcher, 4)))
        await until(lambda: batcher.waiting == 2)


async def test_what_is_cheap_is_predicted_rather_than_refused() -> None:
    async with a_batcher(Model(), cheap(), queue=3) as batcher:
        answers = await asyncio.gather(*(predictions(batcher, value) for value in range(20)))
    assert answers == [[value * 2.0] for value in range(20)]


async def test_one_of_several_clients_leaves_room_for_the_others() -> None:
    model = Model()
    async with a_batcher(model, queue=4) as batcher, busy(model, batcher) as tasks:

        def ask(client: str) -> asyncio.Task[list[float]]:
            return asyncio.create_task(predictions(batcher, 1, client=client, clients=2))

        tasks += [ask("greedy") for _ in range(3)]
        await until(lambda: batcher.waiting == 3)
        with pytest.raises(ClientTooBusy, match="3 requests with the key 'greedy'"):
            await ask("greedy")
        tasks.append(ask("other"))
        await until(lambda: batcher.waiting == 4)


async def test_a_lonely_client_may_fill_the_queue() -> None:
    model = Model()
    async with a_batcher(model, queue=4) as batcher, busy(model, batcher) as tasks:
        tasks += [asyncio.create_task(predictions(batcher, 1, client="only")) for _ in range(4)]
        await until(lambda: batcher.waiting == 4)


async def test_a_prediction_that_takes_too_long_is_given_up_whether_it_waits_or_runs() -> None:
    model = Model()
    async with a_batcher(model, seconds=0.01) as batcher:
        with model.held():
            answers = await asyncio.gather(
                predictions(batcher, 1), predictions(batcher, *range(99)), return_exceptions=True
            )
            assert [type(answer) for answer in answers] == [TooLate, TooLate]
        assert await asyncio.gather(*(predictions(batcher, value) for value in (1, 2))) == [[2], [4]]


@given(st.lists(st.lists(st.integers(-2, 50).map(float), min_size=1, max_size=4), min_size=1, max_size=8))
def test_whatever_is_merged_each_gets_what_it_would_have_got_alone(asked: list[list[float]]) -> None:
    def alone(predict: Predict, values: list[float]) -> object:
        try:
            return predict(some(*values))["pair"].tolist()
        except InvalidRequest:
            return InvalidRequest

    model = Model()
    found = outcomes(model.predict, [some(*values) for values in asked])
    shown = [InvalidRequest if isinstance(one, Exception) else one["pair"].tolist() for one in found]
    assert shown == [alone(model.predict, values) for values in asked]
