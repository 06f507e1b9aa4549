"""Requests through the ingress: one at a time, many at once, and a constant rate that runs beside a test."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Any, Self

import aiohttp

REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A model behind the ingress."""

    base_url: str
    model: str
    api_key: str | None
    host: str | None = None

    @property
    def url(self) -> str:
        return f"{self.base_url}/v2/models/{self.model}/infer"

    @property
    def headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self.api_key is not None:
            headers["Authorization"] = f"Bearer {self.api_key}"
        if self.host is not None:
            headers["Host"] = self.host
        return headers


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One HTTP answer; status 0 when there was none."""

    status: int
    body: Mapping[str, Any]
    error: str = ""

    @property
    def version(self) -> str:
        return str(self.body.get("model_version", ""))


def body_for(rows: Sequence[Sequence[float]]) -> bytes:
    """An inference request with one tensor of these rows."""
    flat = [value for row in rows for value in row]
    tensor = {"name": "input", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": flat}
    return json.dumps({"inputs": [tensor]}).encode()


async def _answer(
    session: aiohttp.ClientSession, method: str, url: str, headers: Mapping[str, str] | None, body: bytes | None = None
) -> Answer:
    try:
        async with session.request(method, url, data=body, headers=headers) as response:
            text = await response.text()
            try:
                return Answer(status=response.status, body=json.loads(text))
            except ValueError:
                return Answer(status=response.status, body={}, error=text[:200])
    except (aiohttp.ClientError, TimeoutError) as error:
        return Answer(status=0, body={}, error=repr(error))


async def _post(session: aiohttp.ClientSession, endpoint: Endpoint, body: bytes) -> Answer:
    return await _answer(session, "POST", endpoint.url, endpoint.headers, body)


def ask(endpoint: Endpoint, rows: Sequence[Sequence[float]]) -> Answer:
    """One request."""

    async def once() -> Answer:
        async with aiohttp.ClientSession(timeout=REQUEST_TIMEOUT) as session:
            return await _post(session, endpoint, body_for(rows))

    return asyncio.run(once())


def get(base_url: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
    """One GET."""

    async def once() -> Answer:
        async with aiohttp.ClientSession(timeout=REQUEST_TIMEOUT) as session:
            return await _answer(session, "GET", base_url + path, headers)

    return asyncio.run(once())


def ask_until(endpoint: Endpoint, rows: Sequence[Sequence[float]], *, status: int, seconds: float) -> Answer:
    """Asks until this status is answered: an ingress controller needs a moment to see a new route."""
    pause, deadline = Event(), monotonic() + seconds
    while (answer := ask(endpoint, rows)).status != status:
        assert monotonic() < deadline, f"{endpoint.url}: {answer} after {seconds:.0f} s"
        pause.wait(0.2)
    return answer


def ask_many(
    endpoint: Endpoint, rows: Sequence[Sequence[float]], *, count: int, connections: int = 8
) -> "list[Answer]":
    """``count`` requests over some connections."""

    async def all_of_them() -> list[Answer]:
        body, left, answers = body_for(rows), iter(range(count)), []

        async def worker() -> None:
            for _ in left:
                answers.append(await _post(session, endpoint, body))  # noqa: PERF401  shared by all workers, as it grows

        async with aiohttp.ClientSession(timeout=REQUEST_TIMEOUT) as session, asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(worker())
        return answers

    return asyncio.run(all_of_them())


@dataclass(kw_only=True)
class Load:
    """A constant rate of requests, open loop, from entering to leaving the context."""

    endpoint: Endpoint
    rows: Sequence[Sequence[float]]
    per_second: int = 50
    answers: list[Answer] = field(default_factory=list)
    _stop: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def __enter__(self) -> Self:
        self._thread = Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()

    @property
    def failures(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status != 200]

    @property
    def versions(self) -> Counter[str]:
        return Counter(answer.version for answer in self.answers)

    async def _run(self) -> None:
        body = body_for(self.rows)

        async def one() -> None:
            self.answers.append(await _post(session, self.endpoint, body))

        async with aiohttp.ClientSession(timeout=REQUEST_TIMEOUT) as session, asyncio.TaskGroup() as group:
            loop, sent = asyncio.get_running_loop(), 0
            begin = loop.time()
            while not self._stop.is_set():
                group.create_task(one())
                sent += 1
                await asyncio.sleep(max(0.0, begin + sent / self.per_second - loop.time()))
