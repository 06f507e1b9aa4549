"""Compression, and HTTP itself: what happens on the wire when clients are odd, broken or many."""

import gzip
import json
import zlib
from concurrent.futures import ThreadPoolExecutor

from tests.conformance.checks import Group, check, that
from tests.conformance.inference import MANY, expect
from tests.conformance.target import JSON, Reply, Target

CONNECTIONS = 64
REQUESTS_EACH = 8
MEBIBYTE = 1024 * 1024


def _many_rows(target: Target, coding: str) -> tuple[Reply, list[int]]:
    indices = [index % len(target.example.rows) for index in range(4 * MANY)]
    headers = {"Accept-Encoding": coding} if coding else {}
    return target.infer(target.example.request(*indices), headers=headers), indices


@check(Group.COMPRESSION, "a body in gzip is read")
def _(target: Target) -> None:
    body = gzip.compress(json.dumps(target.example.request()).encode())
    expect(target, target.infer(body, headers={"Content-Encoding": "gzip"}).ok())


@check(Group.COMPRESSION, "a body in deflate is read")
def _(target: Target) -> None:
    body = zlib.compress(json.dumps(target.example.request()).encode())
    expect(target, target.infer(body, headers={"Content-Encoding": "deflate"}).ok())


@check(Group.COMPRESSION, "a long answer is sent in gzip to who accepts it, and says that it varies")
def _(target: Target) -> None:
    reply, indices = _many_rows(target, "gzip")
    that(reply.headers.get("content-encoding") == "gzip", f"Content-Encoding {reply.headers.get('content-encoding')}")
    that("accept-encoding" in reply.headers.get("vary", "").lower(), f"Vary {reply.headers.get('vary')!r}")
    expect(target, json.loads(gzip.decompress(reply.body)), *indices)


@check(Group.COMPRESSION, "a long answer is sent in deflate to who accepts only that")
def _(target: Target) -> None:
    reply, indices = _many_rows(target, "deflate")
    that(reply.headers.get("content-encoding") == "deflate", f"given {reply.headers.get('content-encoding')}")
    expect(target, json.loads(zlib.decompress(reply.body)), *indices)


@check(Group.COMPRESSION, "nobody gets a compressed answer who does not accept it")
def _(target: Target) -> None:
    for accepted in ("", "identity", "gzip;q=0, deflate;q=0", "br"):
        reply, indices = _many_rows(target, accepted)
        that("content-encoding" not in reply.headers, f"{accepted!r}: {reply.headers.get('content-encoding')}")
        expect(target, reply.ok(), *indices)


@check(Group.COMPRESSION, "a body that is not encoded as it says is refused")
def _(target: Target) -> None:
    body = json.dumps(target.example.request()).encode()
    for coding in ("gzip", "deflate"):
        target.infer(body, headers={"Content-Encoding": coding}).refused()
    target.infer(gzip.compress(body)[:-4], headers={"Content-Encoding": "gzip"}).refused()


@check(Group.COMPRESSION, "a body in an unknown encoding is refused")
def _(target: Target) -> None:
    target.infer(target.example.request(), headers={"Content-Encoding": "no-such-coding"}).refused()


@check(Group.COMPRESSION, "a bomb is refused: 100 KB that become 100 MB")
def _(target: Target) -> None:
    target.infer(gzip.compress(b" " * (100 * MEBIBYTE)), headers={"Content-Encoding": "gzip"}).refused()


@check(Group.HTTP, "what is not HTTP is 400 with the error object")
def _(target: Target) -> None:
    target.send(b"this is not HTTP\r\n\r\n").refused(400)


@check(Group.HTTP, "a broken Content-Length is 400 with the error object")
def _(target: Target) -> None:
    target.send(target.head("POST", f"{target.path}/infer", Content_Type=JSON, Content_Length="many")).refused(400)


@check(Group.HTTP, "a header of 64 KB is taken, or is 400 or 431 with the error object")
def _(target: Target) -> None:
    reply = target.send(target.head("GET", "/v2", X_Long="a" * 65536))
    if reply.status != 200:
        reply.refused(400, 431)


@check(Group.HTTP, "a body of 10 GB is 413 before it is sent")
def _(target: Target) -> None:
    head = target.head("POST", f"{target.path}/infer", Content_Type=JSON, Content_Length=str(10 * 1024 * MEBIBYTE))
    target.send(head, b" " * (64 * MEBIBYTE)).refused(413)


def _expecting(target: Target, expectation: str) -> tuple[bytes, bytes]:
    """Head and body of a request that expects something."""
    body = json.dumps(target.example.request()).encode()
    length = str(len(body))
    head = target.head(
        "POST", f"{target.path}/infer", Content_Type=JSON, Content_Length=length, Expect=expectation, Connection="close"
    )
    return head, body


@check(Group.HTTP, "Expect: 100-continue is answered before the body comes")
def _(target: Target) -> None:
    head, body = _expecting(target, "100-continue")
    with target.raw() as connection:
        connection.sendall(head)
        interim = connection.recv(1024)
        that(interim.startswith(b"HTTP/1.1 100 "), f"given {interim[:60]!r}")
        connection.sendall(body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
        that(b"HTTP/1.1 200 " in interim + answer, f"given {answer[:60]!r}")


@check(Group.HTTP, "another Expect is ignored, or is 417 with the error object")
def _(target: Target) -> None:
    reply = target.send(*_expecting(target, "the-unexpected"))
    if reply.status != 200:
        reply.refused(417)


@check(Group.HTTP, "a path of 10 KB is refused with a short error object")
def _(target: Target) -> None:
    error = target.send(target.head("GET", "/v2/" + "a" * 10_000)).refused()
    that(len(error) < 1000, f"{len(error)} characters")


@check(Group.HTTP, "a connection is good for more requests after an error")
def _(target: Target) -> None:
    connection = target.connect()
    try:
        bad = target.request_on(connection, "POST", f"{target.path}/infer", b"{", {"Content-Type": JSON})
        that(bad.headers.get("connection", "").lower() != "close", "it was closed")
        local = connection.sock
        body = json.dumps(target.example.request()).encode()
        good = target.request_on(connection, "POST", f"{target.path}/infer", body, {"Content-Type": JSON})
        that(connection.sock is local, "it was closed")
        expect(target, good.ok())
    finally:
        connection.close()


@check(Group.HTTP, "a cut connection harms nobody")
def _(target: Target) -> None:
    for _ in range(20):
        connection = target.connect()
        connection.connect()
        connection.sock.sendall(target.head("POST", f"{target.path}/infer", Content_Type=JSON, Content_Length="99"))
        connection.close()
    expect(target, target.infer(target.example.request()).ok())


@check(Group.HTTP, f"good and bad requests of {CONNECTIONS} connections never mix")
def _(target: Target) -> None:
    def client(number: int) -> None:
        connection = target.connect()
        try:
            for turn in range(REQUESTS_EACH):
                index = (number + turn) % len(target.example.rows)
                name = f"{number}-{turn}"
                bad = turn % 3 == 1
                body = b"{" if bad else json.dumps(target.example.request(index, id=name)).encode()
                reply = target.request_on(connection, "POST", f"{target.path}/infer", body, {"Content-Type": JSON})
                if bad:
                    that(400 <= reply.status < 500, f"a body that is not JSON: {reply.status}")
                    continue
                response = reply.ok()
                that(response.get("id") == name, f"asked as {name}, answered as {response.get('id')}")
                expect(target, response, index)
        finally:
            connection.close()

    with ThreadPoolExecutor(CONNECTIONS) as clients:
        list(clients.map(client, range(CONNECTIONS)))
