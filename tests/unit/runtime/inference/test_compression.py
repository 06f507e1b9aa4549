"""gzip and deflate, both ways: bounded in memory, refused by name when broken, chosen as the client prefers."""

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_runtime.inference.compression import CODINGS, chosen, compress, decompress, known
from aurora_runtime.inference.errors import BodyTooLarge, InvalidRequest, UnsupportedCoding

MEBIBYTE = 1024 * 1024


def bare_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


@given(body=st.binary(max_size=3000), coding=st.sampled_from(CODINGS))
def test_what_was_compressed_comes_back(body: bytes, coding: str) -> None:
    assert decompress(compress(body, coding), coding, limit=3000) == body


@given(body=st.binary(max_size=3000))
def test_others_read_what_we_write_and_we_what_others_write(body: bytes) -> None:
    assert gzip.decompress(compress(body, "gzip")) == body
    assert zlib.decompress(compress(body, "deflate")) == body
    assert decompress(gzip.compress(body), "gzip", limit=3000) == body
    assert decompress(zlib.compress(body), "deflate", limit=3000) == body
    assert decompress(bare_deflate(body), "deflate", limit=3000) == body


@pytest.mark.parametrize("coding", CODINGS)
def test_a_body_may_be_as_large_as_the_limit_and_no_larger(coding: str) -> None:
    assert len(decompress(compress(b"a" * 1000, coding), coding, limit=1000)) == 1000
    with pytest.raises(BodyTooLarge, match="at most 999 bytes"):
        decompress(compress(b"a" * 1000, coding), coding, limit=999)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_bomb_costs_no_more_memory_than_the_limit(coding: str) -> None:
    bomb = compress(bytes(256 * MEBIBYTE), coding)
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            decompress(bomb, coding, limit=MEBIBYTE)
        assert tracemalloc.get_traced_memory()[1] < 2 * MEBIBYTE + 2 * len(bomb)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("body", "coding", "named"),
    [
        pytest.param(b"not gzip", "gzip", "expected gzip", id="no gzip"),
        pytest.param(b"not deflate", "deflate", "expected deflate", id="no deflate"),
        pytest.param(b"", "gzip", "ends too early", id="empty"),
        pytest.param(b"", "deflate", "ends too early", id="empty deflate"),
        pytest.param(gzip.compress(b"a" * 100)[:-1], "gzip", "ends too early", id="cut"),
        pytest.param(zlib.compress(b"a" * 100)[:-1], "deflate", "ends too early", id="cut deflate"),
        pytest.param(gzip.compress(b"a")[:-8] + bytes(8), "gzip", "incorrect data check", id="another sum"),
        pytest.param(gzip.compress(b"a") + b"xyz", "gzip", "given 3 bytes", id="something behind it"),
        pytest.param(gzip.compress(b"a"), "deflate", "expected deflate", id="gzip called deflate"),
    ],
)
def test_a_broken_body_is_refused_by_name(body: bytes, coding: str, named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        decompress(body, coding, limit=1000)


@given(body=st.binary(max_size=200), coding=st.sampled_from(CODINGS))
def test_any_bytes_are_decompressed_or_refused(body: bytes, coding: str) -> None:
    try:
        assert len(decompress(body, coding, limit=1000)) <= 1000
    except (InvalidRequest, BodyTooLarge):
        return


@pytest.mark.parametrize(
    ("header", "coding"),
    [("", None), ("identity", None), ("gzip", "gzip"), ("GZIP", "gzip"), ("x-gzip", "gzip"), (" deflate ", "deflate")],
)
def test_the_coding_of_a_body_is_what_its_header_says(header: str, coding: str | None) -> None:
    assert known(header) == coding


@pytest.mark.parametrize("header", ["br", "zstd", "gzip, gzip", "gzip, deflate", "aws-chunked"])
def test_another_coding_is_refused_with_those_that_are_known(header: str) -> None:
    with pytest.raises(UnsupportedCoding, match=f"expected one of gzip, deflate, given {header}"):
        known(header)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", None),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("deflate, gzip", "gzip"),
        ("gzip;q=0.5, deflate", "deflate"),
        ("gzip;q=0", None),
        ("gzip; q = 0.5", "gzip"),
        ("*", "gzip"),
        ("gzip;q=0, *;q=0.1", "deflate"),
        ("*;q=0", None),
        ("identity", None),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.5, gzip", "gzip"),
        ("br", None),
        ("gzip;q=much", None),
        ("gzip;q=-1", None),
        ("gzip;q=nan", None),
        ("gzip;level=1", None),
        (";;,,=", None),
    ],
)
def test_an_answer_is_compressed_as_the_client_prefers(accepted: str, coding: str | None) -> None:
    assert chosen(accepted) == coding


@given(accepted=st.text(max_size=40))
def test_any_preference_is_understood_or_ignored(accepted: str) -> None:
    assert chosen(accepted) in (None, *CODINGS)
