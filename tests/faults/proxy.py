"""A reverse proxy between controllers and the API server that obeys rules and keeps a log of every write.

Each controller gets a ``Door`` of its own, so that the log tells who wrote. A door that is shut lets nothing through in
either direction from that moment on: to the cluster, whoever stood behind it has died.
"""

import asyncio
import socket
import ssl
import struct
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import orjson
from aiohttp import web

from aurora_controller.kube.rest import RECONCILE_ID_HEADER
from tests.faults.control_plane import CONTROLLER_TOKEN, ControlPlane
from tests.faults.rules import (
    Action,
    Answer,
    Break,
    Call,
    Delay,
    Detour,
    Edit,
    Hang,
    Lines,
    LoseAnswer,
    Refuse,
    Reword,
    Rule,
    RuleBook,
    call_of,
)

_PASSED_ON: Final = ("Accept", "Content-Type", "User-Agent")


@dataclass(kw_only=True)
class Write:
    """One mutating request as the proxy saw it. ``status`` is None when the server never heard of it."""

    number: int
    door: str
    call: Call
    reconcile: str
    """Id of the reconcile that made it; empty when none did."""
    body: Any
    began: float
    status: int | None = None
    ended: float | None = None
    over: float | None = None
    """When the controller had its answer or hung up: the server may still be at it."""
    is_given_up: bool = False
    """The controller hung up before there was an answer for it."""
    answer: Any = None
    """The object that came back, perhaps only to the proxy."""

    @property
    def is_done(self) -> bool:
        return self.status is not None and self.status < 300

    @property
    def version(self) -> str:
        metadata = self.answer.get("metadata") if isinstance(self.answer, dict) else None
        return str((metadata or {}).get("resourceVersion", ""))

    def __str__(self) -> str:
        return f"{self.number} {self.door} {self.call} → {self.status}"


@dataclass(kw_only=True)
class Door:
    """``rules`` meet the requests of this door alone."""

    name: str
    url: str = ""
    tls: ssl.SSLContext | None = None
    is_shut: bool = False
    token: str | None = CONTROLLER_TOKEN
    """What the server is shown; None passes on what the controller sends."""
    refused_tokens: set[str] = field(default_factory=set)
    """Answered with 401, whatever the server would say."""
    rules: RuleBook = field(default_factory=RuleBook)
    open_watches: dict[str, int] = field(default_factory=dict)
    """By resource."""
    requests: list[tuple[float, Call]] = field(default_factory=list)
    transports: set[asyncio.Transport] = field(default_factory=set)
    killed: asyncio.Event = field(default_factory=asyncio.Event)

    def present(self, certificate: Path) -> None:
        """To connections made from now on: a file with its key, in PEM."""
        assert self.tls is not None
        self.tls.load_cert_chain(certificate)

    def shut(self) -> None:
        """From here on nobody hears of whoever uses it."""
        self.is_shut = True
        self.cut()
        self.killed.set()

    def cut(self) -> None:
        """Breaks every open connection; new ones are welcome."""
        for transport in list(self.transports):
            _reset(transport)


class Proxy:
    """Use it within one event loop. ``rules`` meet the requests of all doors."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self.rules = RuleBook()
        self.writes: list[Write] = []
        self._steps: defaultdict[str, list[Write]] = defaultdict(list)
        """By namespace."""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._plane.ssl_context),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    @asynccontextmanager
    async def door(self, name: str, *, certificate: Path | None = None) -> AsyncIterator[Door]:
        """With a ``certificate``, which may be changed, it speaks TLS."""
        tls = None if certificate is None else ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        door = Door(name=name, tls=tls)
        if certificate is not None:
            door.present(certificate)

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            return await self._handle(door, request)

        server = web.Server(handle, access_log=None, handler_cancellation=True)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        host, port = runner.addresses[0][:2]
        door.url = f"{'http' if tls is None else 'https'}://{host}:{port}"
        try:
            yield door
        finally:
            door.cut()
            await runner.cleanup()

    def forget(self) -> None:
        """The log of writes begins anew."""
        self.writes.clear()
        self._steps.clear()

    def steps(self, namespace: str) -> Sequence[Write]:
        """Writes of reconciles there."""
        return list(self._steps.get(namespace, ()))

    async def _handle(self, door: Door, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        if door.is_shut or transport is None:
            return _broken(request)
        door.transports.add(transport)
        body = await request.read()
        call = _named(call_of(request.method, request.path, request.query, request.content_type), body)
        door.requests.append((time.monotonic(), call))
        if request.headers.get("Authorization", "").removeprefix("Bearer ") in door.refused_tokens:
            return web.Response(status=401)
        rule = door.rules.decide(call) or self.rules.decide(call)
        action = rule.action if rule is not None else None
        words = action if isinstance(action, Reword) else Reword()
        rewrite = action.url if isinstance(action, Edit) else words.url
        url, body = rewrite(self._plane.url + request.path_qs), words.body(body)
        write = self._note(door, request, call, body) if call.is_write else None
        half = action.seconds() / 2 if isinstance(action, Detour) else 0.0
        try:
            await asyncio.sleep(half)
            answer = await self._before(door, request, rule)
            if answer is not None:
                return answer
            if call.verb == "watch":
                return await self._stream(door, request, call, url, _edit_of(action))
            response = await self._forward(door, request, url, body, write=write, words=words)
            await asyncio.sleep(half)
            return self._after(door, request, rule, response)
        except asyncio.CancelledError:
            if write is not None:
                write.is_given_up = True
            raise
        finally:
            if write is not None:
                write.over = time.monotonic()
                write.ended = write.ended or write.over
            door.transports.discard(transport)

    async def _before(self, door: Door, request: web.BaseRequest, rule: Rule | None) -> web.StreamResponse | None:
        """What is answered instead of the server, if anything."""
        match rule.action if rule is not None else None:
            case Delay(seconds=seconds):
                await asyncio.sleep(seconds)
            case Hang():
                await asyncio.Event().wait()
            case Answer(status=status, body=body, headers=headers):
                return web.Response(status=status, body=body, headers=headers)
            case Refuse():
                if rule is not None and rule.kills:
                    door.shut()
                return _broken(request)
        return _broken(request) if door.is_shut else None

    def _after(
        self, door: Door, request: web.BaseRequest, rule: Rule | None, response: web.StreamResponse
    ) -> web.StreamResponse:
        loses = rule is not None and isinstance(rule.action, LoseAnswer)
        if rule is not None and rule.kills:
            if loses:
                door.shut()
            else:
                # As soon as the answer has arrived.
                asyncio.get_running_loop().call_later(0.005, door.shut)
        return _broken(request) if loses or door.is_shut else response

    def _note(self, door: Door, request: web.BaseRequest, call: Call, body: bytes) -> Write:
        write = Write(
            number=len(self.writes) + 1,
            door=door.name,
            call=call,
            reconcile=request.headers.get(RECONCILE_ID_HEADER, ""),
            body=orjson.loads(body) if body else None,
            began=time.monotonic(),
        )
        self.writes.append(write)
        if call.is_step:
            self._steps[call.namespace].append(write)
        return write

    def _headers(self, door: Door, request: web.BaseRequest) -> dict[str, str]:
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        authorization = request.headers.get("Authorization") if door.token is None else f"Bearer {door.token}"
        return headers | ({"Authorization": authorization} if authorization else {})

    async def _forward(
        self, door: Door, request: web.BaseRequest, url: str, body: bytes, *, write: Write | None, words: Reword
    ) -> web.StreamResponse:
        try:
            # Once it is on its way the server will perform it, whether or not anybody still listens.
            status, headers, content = await asyncio.shield(
                asyncio.ensure_future(self._exchange(request.method, url, self._headers(door, request), body, write))
            )
        except aiohttp.ClientError:
            return _broken(request)
        return web.Response(status=status, body=words.answer(content), headers=headers)

    async def _exchange(
        self, method: str, url: str, headers: dict[str, str], body: bytes, write: Write | None
    ) -> tuple[int, dict[str, str], bytes]:
        async with self._session.request(method, url, data=body or None, headers=headers) as answer:
            content = await answer.read()
            if write is not None:
                write.status, write.ended = answer.status, time.monotonic()
                write.answer = orjson.loads(content) if content[:1] == b"{" else None
            kept = {name: answer.headers[name] for name in ("Content-Type", "Retry-After") if name in answer.headers}
            return answer.status, kept, content

    async def _stream(
        self, door: Door, request: web.BaseRequest, call: Call, url: str, edit: Callable[[Lines], Lines]
    ) -> web.StreamResponse:
        try:
            async with self._session.get(url, headers=self._headers(door, request)) as answer:
                response = web.StreamResponse(status=answer.status)
                response.content_type = answer.content_type
                if answer.status != 200:
                    response.content_length = len(content := await answer.read())
                    await response.prepare(request)
                    await response.write(content)
                    return response
                await response.prepare(request)
                door.open_watches[call.resource] = door.open_watches.get(call.resource, 0) + 1
                try:
                    async for line in edit(lines_of(answer)):
                        if door.is_shut:
                            return _broken(request)
                        await response.write(line)
                finally:
                    door.open_watches[call.resource] -= 1
                await response.write_eof()
                return response
        except Break as broken:
            if broken.part and request.transport is not None:
                request.transport.write(b"%x\r\n%b" % (2 * len(broken.part), broken.part))
            return _broken(request)
        except (aiohttp.ClientError, ConnectionError):
            return _broken(request)


def _named(call: Call, body: bytes) -> Call:
    """A create names its object in the body alone."""
    if call.verb != "create" or call.name:
        return call
    return replace(call, name=orjson.loads(body)["metadata"].get("name", ""))


def _edit_of(action: Action | None) -> Callable[[Lines], Lines]:
    match action:
        case Edit(lines=edit):
            return edit
        case Reword(answer=answer):
            return lambda lines: (answer(line) async for line in lines)
        case _:
            return lambda lines: lines


def _reset(transport: asyncio.Transport) -> None:
    """An RST instead of a FIN."""
    if not transport.is_closing():
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def lines_of(answer: aiohttp.ClientResponse) -> Lines:
    rest = b""
    async for chunk in answer.content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if rest:
        yield rest


def _broken(request: web.BaseRequest) -> web.Response:
    """The connection is reset; what is returned reaches nobody."""
    if request.transport is not None:
        _reset(request.transport)
    return web.Response()
