import errno
import os
from pathlib import Path

import pytest

from aurora_runtime.store.errors import StorageUnavailable, storage_errors


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.EIO, "health of the storage"),
        (errno.ESTALE, "restart the pod"),
        (errno.ENOTCONN, "restart the pod"),
        (errno.ENOSPC, "enlarge the claim"),
        (errno.EDQUOT, "enlarge the claim"),
        (errno.EROFS, "read-write"),
        (errno.EACCES, "fsGroup"),
        (errno.ENOENT, "mounted"),
        (errno.ELOOP, "mounted and healthy"),
    ],
)
def test_a_storage_error_names_path_code_and_remedy(code: int, remedy: str) -> None:
    with pytest.raises(StorageUnavailable) as failure, storage_errors(Path("/store/housing")):
        raise OSError(code, os.strerror(code))
    message = str(failure.value)
    assert "/store/housing" in message
    assert errno.errorcode[code] in message
    assert remedy in failure.value.remedy
    assert isinstance(failure.value.__cause__, OSError)


def test_the_path_in_the_error_is_more_exact_than_the_one_around_it() -> None:
    with pytest.raises(StorageUnavailable) as failure, storage_errors(Path("/store")):
        raise FileNotFoundError(errno.ENOENT, "No such file", "/store/housing/1")
    assert failure.value.path == Path("/store/housing/1")


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), storage_errors(Path("/store")):
        raise KeyError
