"""A server that stops behind a Service: clients hold connections and reconnect, and none of them sees a failure."""

import asyncio
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import aiohttp
import orjson

from aurora_runtime.store.model_store import ModelStore
from tests.unit.runtime.inference.models import MODEL, a_body, until
from tests.unit.runtime.inference.processes import Server, a_process, closed

CLIENTS = 8
INFER = f"/v2/models/{MODEL}/infer"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a client got."""

    status: int
    revision: str
    closes: bool


@dataclass(kw_only=True)
class Service:
    """Where new connections go; those that stand stay where they are."""

    ready: dict[str, str]
    """Revision → URL."""

    @property
    def endpoint(self) -> str:
        return next(iter(self.ready.values()))

    async def probe(self, revision: str) -> None:
        """Takes an endpoint out that says that it is not ready, as the kubelet has it done."""
        async with aiohttp.ClientSession() as session, session.get(self.ready[revision] + "/v2/health/ready") as reply:
            if reply.status != 200:
                del self.ready[revision]


@dataclass(kw_only=True)
class Client:
    """Asks without a pause over one connection, and opens another when it is told to."""

    service: Service
    answers: list[Answer] = field(default_factory=list)

    async def ask_forever(self) -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
            while True:
                url, closes = self.service.endpoint + INFER, False
                while not closes:
                    async with session.post(url, json=a_body()) as response:
                        await response.read()
                    closes = response.headers.get("Connection") == "close"
                    revision = response.headers["X-Aurora-Revision"]
                    self.answers.append(Answer(status=response.status, revision=revision, closes=closes))

    async def answered(self, times: int, *, by: str) -> None:
        """Returns when so many more answers have come from this revision."""
        seen = len(self.answers)
        await until(lambda: sum(answer.revision == by for answer in self.answers[seen:]) >= times)


async def test_clients_move_on_without_a_failure_and_the_process_ends_well(store: ModelStore) -> None:
    async with AsyncExitStack() as stack:
        leaving, staying = [
            await stack.enter_async_context(a_process(store.root, "--revision", name, "--drain-seconds", "600"))
            for name in ("leaving", "staying")
        ]
        service = Service(ready={"leaving": await url_of(leaving)})
        successor = await url_of(staying)
        clients = [Client(service=service) for _ in range(CLIENTS)]
        idle_reader, idle_writer = await an_idle_connection(await leaving.port("http"))
        asking = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [asking.create_task(client.ask_forever()) for client in clients]
        await asyncio.gather(*(client.answered(3, by="leaving") for client in clients))

        before = [len(client.answers) for client in clients]
        leaving.process.send_signal(signal.SIGTERM)
        await leaving.logged("draining")
        draining = [len(client.answers) for client in clients]
        # Nobody has noticed yet: whoever is told to connect anew comes to it again.
        await asyncio.gather(*(client.answered(3, by="leaving") for client in clients))
        service.ready["staying"] = successor
        await service.probe("leaving")
        assert list(service.ready) == ["staying"]
        await asyncio.gather(*(client.answered(3, by="staying") for client in clients))
        moved = [len(client.answers) for client in clients]

        leaving.process.send_signal(signal.SIGTERM)  # ends the 600 seconds
        assert await leaving.exit_code() == 0
        assert leaving.log[-1]["event"] == "stopped"
        await asyncio.gather(*(client.answered(3, by="staying") for client in clients))
        for task in tasks:
            task.cancel()
        assert await idle_reader.read() == b""  # an end, not a reset
        await closed(idle_writer)

    for client, kept, first, last in zip(clients, before, draining, moved, strict=True):
        assert {answer.status for answer in client.answers} == {200}
        assert not any(answer.closes for answer in client.answers[:kept])
        # One answer may have been on its way when the drain began.
        assert all(answer.closes for answer in client.answers[first + 1 : last] if answer.revision == "leaving")
        assert {answer.revision for answer in client.answers[last:]} == {"staying"}


async def url_of(server: Server) -> str:
    await server.logged("ready")
    return f"http://127.0.0.1:{await server.port('http')}"


async def an_idle_connection(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """One that has been used once, and is kept."""
    body = orjson.dumps(a_body())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {INFER} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    answer = orjson.loads((await reader.readuntil(b"}]}")).partition(b"\r\n\r\n")[2])
    assert answer["model_name"] == MODEL
    return reader, writer
