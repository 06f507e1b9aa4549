import hashlib

from hypothesis import given
from hypothesis import strategies as st

from aurora_runtime.store.digest import Hasher, digest_of


def test_a_digest_is_sha256_with_its_name() -> None:
    assert digest_of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.lists(st.binary(max_size=50)))
def test_pieces_have_the_digest_and_size_of_the_whole(pieces: list[bytes]) -> None:
    hasher = Hasher()
    for piece in pieces:
        hasher.update(piece)
    whole = b"".join(pieces)
    assert hasher.digest == f"sha256:{hashlib.sha256(whole).hexdigest()}"
    assert hasher.size_bytes == len(whole)
