"""The program, started on what it must not serve: exit code, last words, and nothing deserialised.

A ``sitecustomize`` makes the process report whatever it unpickles, and write its termination message where a test can
read it.
"""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sklearn.cluster import KMeans

from aurora_runtime.contract import ExitCode
from aurora_runtime.store.model_store import ModelStore
from tests.unit.runtime.inference.models import MODEL, a_regressor, publish, some_rows
from tests.unit.runtime.inference.processes import Server, a_process

_WATCHED = """
import pickle
from aurora_runtime import contract

contract.TERMINATION_MESSAGE_PATH = {message!r}


class Reporting(pickle.Unpickler):
    def load(self):
        open({unpickled!r}, "x").close()
        return super().load()


pickle.Unpickler = Reporting
"""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A store with one version, and a place where a process leaves what it did."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "store"

    @property
    def version(self) -> Path:
        return self.root / MODEL / "1"

    @property
    def artifact(self) -> Path:
        return self.version / "model.joblib"

    @property
    def descriptor(self) -> Path:
        return self.version / "descriptor.json"

    @property
    def message(self) -> str:
        """The termination message."""
        return (self.folder / "message").read_text()

    @property
    def unpickled(self) -> bool:
        return (self.folder / "unpickled").exists()

    async def process_ends(self, *flags: str, meanwhile: Callable[[Server], Any] | None = None) -> tuple[int, Server]:
        """Exit code and log of the program on this store."""
        watch = self.folder / "watch"
        watch.mkdir()
        (self.folder / "message").touch()
        names = {"message": str(self.folder / "message"), "unpickled": str(self.folder / "unpickled")}
        (watch / "sitecustomize.py").write_text(_WATCHED.format(**names))
        async with a_process(self.root, *flags, search_first=watch) as server:
            if meanwhile is not None:
                await meanwhile(server)
            return await server.exit_code(), server


def altered(scene: Scene) -> None:
    data = bytearray(scene.artifact.read_bytes())
    data[len(data) // 2] ^= 1
    scene.artifact.write_bytes(data)


def truncated(scene: Scene) -> None:
    scene.artifact.write_bytes(scene.artifact.read_bytes()[:-1])


def grown(scene: Scene) -> None:
    scene.artifact.write_bytes(scene.artifact.read_bytes() + b"x")


def missing(scene: Scene) -> None:
    scene.artifact.unlink()


def linked(scene: Scene) -> None:
    """The same bytes, but reached through a link."""
    scene.artifact.rename(scene.folder / "elsewhere")
    scene.artifact.symlink_to(scene.folder / "elsewhere")


def joined(scene: Scene) -> None:
    (scene.version / "extra.joblib").write_bytes(scene.artifact.read_bytes())


def folder_linked(scene: Scene) -> None:
    scene.version.rename(scene.folder / "elsewhere")
    scene.version.symlink_to(scene.folder / "elsewhere")


def leading_out(scene: Scene) -> None:
    """A descriptor that names a file outside of its folder, one that is there and has the digest it should have."""
    scene.artifact.rename(scene.folder / "model.joblib")
    name, outside = b'"model.joblib"', b'"../../../model.joblib"'
    scene.descriptor.write_bytes(scene.descriptor.read_bytes().replace(name, outside))


def redescribed(scene: Scene) -> None:
    scene.descriptor.write_bytes(scene.descriptor.read_bytes().replace(b"random_forest", b"random_forrst"))


def gone(scene: Scene) -> None:
    scene.version.rename(scene.folder / "elsewhere")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(folder=tmp_path)


DIGEST = "sha256:" + "1" * 64


@pytest.mark.parametrize(
    ("damage", "flags", "reason", "named"),
    [
        pytest.param(altered, (), "DigestMismatch", ["{artifact}", "expected sha256:", "found sha256:"], id="altered"),
        pytest.param(truncated, (), "DigestMismatch", ["{artifact}", "found sha256:"], id="truncated"),
        pytest.param(grown, (), "DigestMismatch", ["{artifact}", "found sha256:"], id="grown"),
        pytest.param(missing, (), "FileMissing", ["{artifact}"], id="missing"),
        pytest.param(linked, (), "UnsafePath", ["{artifact}", "regular file"], id="a symbolic link"),
        pytest.param(joined, (), "UnexpectedFile", ["extra.joblib"], id="a file too many"),
        pytest.param(folder_linked, (), "UnsafePath", ["{version}"], id="a linked folder"),
        pytest.param(leading_out, (), "InvalidDescriptor", ["{descriptor}", "modelFile"], id="a path out of the store"),
        pytest.param(
            redescribed, ("--digest", "{digest}"), "DigestMismatch", ["{descriptor}", "{digest}"], id="retold"
        ),
        pytest.param(None, ("--digest", DIGEST), "DigestMismatch", ["{descriptor}", DIGEST, "{digest}"], id="other"),
        pytest.param(None, ("--model", "../housing"), "UnsafePath", ["'../housing'"], id="a name out of the store"),
        pytest.param(gone, (), "ModelNotFound", ["version 1", f"'{MODEL}'"], id="no such version"),
    ],
)
async def test_what_is_not_what_was_published_ends_the_process_before_it_is_deserialised(
    scene: Scene, damage: Callable[[Scene], None] | None, flags: tuple[str, ...], reason: str, named: list[str]
) -> None:
    digest = publish(ModelStore(root=scene.root), a_regressor()).digest
    if damage is not None:
        damage(scene)
    known = {name: str(getattr(scene, name)) for name in ("artifact", "version", "descriptor")} | {"digest": digest}
    code, server = await scene.process_ends("--version", "1", *(flag.format(**known) for flag in flags))
    assert code == ExitCode.ARTIFACT_REFUSED
    assert_last_words(scene, server, reason, [name.format(**known) for name in named])
    assert not scene.unpickled


@pytest.mark.parametrize(
    ("libraries", "flags", "named"),
    [
        pytest.param({"scikit-learn": "0.24.2"}, (), ["scikit-learn 0.24.2 at training"], id="by itself"),
        pytest.param({"numpy": "1.0.1"}, ("--library-versions", "refuse"), ["numpy 1.0.1 at training"], id="as asked"),
    ],
)
async def test_libraries_that_are_refused_end_the_process(
    scene: Scene, libraries: dict[str, str], flags: tuple[str, ...], named: list[str]
) -> None:
    publish(ModelStore(root=scene.root), a_regressor(), libraries=libraries)
    code, server = await scene.process_ends(*flags)
    assert code == ExitCode.ARTIFACT_REFUSED
    assert_last_words(scene, server, "LibrariesDiffer", [*named, "serve with the image that trained it"])
    assert not scene.unpickled


async def test_an_estimator_outside_the_allow_list_ends_the_process(scene: Scene) -> None:
    """That a pickle is read as far as to the name in it, and no further, is shown in test_start."""
    publish(ModelStore(root=scene.root), KMeans(n_clusters=2, n_init=1).fit(some_rows(20)))
    code, server = await scene.process_ends()
    assert code == ExitCode.ARTIFACT_REFUSED
    assert_last_words(scene, server, "UnsafeModel", ["sklearn.cluster._kmeans.KMeans", "allow-list"])


async def test_a_storage_that_fails_until_the_end_is_named_and_counted_as_such(scene: Scene) -> None:
    scene.root.symlink_to(scene.root)  # reading it fails for ever

    async def stop(server: Server) -> None:
        await server.logged("storage failed, fetching again")
        server.process.send_signal(signal.SIGTERM)

    code, server = await scene.process_ends(meanwhile=stop)
    assert code == ExitCode.STORAGE_UNAVAILABLE
    assert server.log[-1]["event"] == "stopped while the storage failed"
    for name in (str(scene.root), "ELOOP", "check that the volume is mounted"):
        assert name in server.log[-1]["error"]
    assert scene.message == server.log[-1]["error"]
    assert not scene.unpickled


async def test_a_sound_version_is_deserialised_and_leaves_no_last_words(scene: Scene) -> None:
    """What the others do not do is seen here to be seen."""
    publish(ModelStore(root=scene.root), a_regressor())

    async def stop(server: Server) -> None:
        await server.logged("ready")
        server.process.send_signal(signal.SIGTERM)

    code, _ = await scene.process_ends(meanwhile=stop)
    assert code == ExitCode.OK
    assert scene.unpickled
    assert scene.message == ""


def assert_last_words(scene: Scene, server: Server, reason: str, named: list[str]) -> None:
    last = server.log[-1]
    assert (last["event"], last["reason"]) == ("model refused", reason)
    for name in named:
        assert name in last["error"]
    assert scene.message == last["error"]
