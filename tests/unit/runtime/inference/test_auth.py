"""Who may ask: API keys from a folder that changes under the server."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from aurora_runtime.inference.app import _fresh_keys
from aurora_runtime.inference.auth import ApiKeys
from aurora_runtime.inference.errors import Unauthorized
from tests.unit.runtime.inference.models import KEY, MODEL, Serving, until


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def keys_of(folder: Path, **keys: str) -> ApiKeys:
    for name, key in keys.items():
        (folder / name).write_text(key)
    api_keys = ApiKeys(folder)
    api_keys.reload()
    return api_keys


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(bearer(KEY), id="bearer"),
        pytest.param({"Authorization": f"bearer  {KEY}"}, id="scheme in lower case"),
        pytest.param({"X-API-Key": KEY}, id="X-API-Key"),
        pytest.param({"Authorization": "Basic dXNlcjpwYXNz", "X-API-Key": KEY}, id="beside a proxy's own scheme"),
        pytest.param({**bearer("a-token-of-the-proxy"), "X-API-Key": KEY}, id="beside a proxy's own token"),
    ],
)
async def test_a_valid_key_opens_predictions_and_metadata(guarded: Serving, headers: dict[str, str]) -> None:
    assert (await guarded.infer(headers=headers)).status == 200
    assert (await guarded.request("GET", f"/v2/models/{MODEL}", headers=headers)).status == 200


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        pytest.param({}, "missing", id="none"),
        pytest.param({"X-API-Key": ""}, "missing", id="empty"),
        pytest.param({"Authorization": "Bearer"}, "missing", id="a scheme without a key"),
        pytest.param({"Authorization": f"Basic {KEY}"}, "missing", id="another scheme"),
        pytest.param({"Authorization": KEY}, "missing", id="no scheme"),
        pytest.param(bearer("wrong"), "wrong", id="wrong"),
        pytest.param({"X-API-Key": KEY[:-1]}, "wrong", id="too short"),
        pytest.param({"X-API-Key": KEY + "x"}, "wrong", id="too long"),
        pytest.param({"X-API-Key": "schlüssel"}, "wrong", id="not ASCII"),
    ],
)
async def test_without_a_valid_key_it_is_401_and_says_how_to_send_one(
    guarded: Serving, headers: dict[str, str], reason: str
) -> None:
    for reply in (
        await guarded.infer(headers=headers),
        await guarded.request("GET", f"/v2/models/{MODEL}", headers=headers),
    ):
        assert reply.status == 401
        assert reason in reply.error
        assert "Authorization: Bearer" in reply.error
        assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    assert guarded.metrics.refused_keys == {reason: 2}


async def test_a_stranger_learns_nothing_of_the_model(guarded: Serving) -> None:
    assert (await guarded.infer(path="/v2/models/other/infer")).status == 401
    assert (await guarded.infer(b"{")).status == 401


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/health/ready", f"/v2/models/{MODEL}/ready"])
async def test_health_needs_no_key(guarded: Serving, path: str) -> None:
    assert (await guarded.request("GET", path)).status == 200


async def test_requests_are_counted_by_the_name_of_the_key(guarded: Serving) -> None:
    await guarded.infer(headers=bearer(KEY))
    text = guarded.metrics.render().decode()
    assert 'aurora_inference_authenticated_total{key="default",' in text
    assert KEY not in text


def test_several_keys_are_valid_at_once_and_a_removed_one_is_not(tmp_path: Path) -> None:
    keys = keys_of(tmp_path, old="one\n", new=" two ")
    assert (keys.check(bearer("one")), keys.check(bearer("two"))) == ("old", "new")
    (tmp_path / "old").unlink()
    keys.reload()
    assert keys.check(bearer("two")) == "new"
    with pytest.raises(Unauthorized):
        keys.check(bearer("one"))


def test_a_secret_that_kubernetes_swaps_is_followed(tmp_path: Path) -> None:
    for generation, key in (("..2026_1", "one"), ("..2026_2", "two")):
        (tmp_path / generation).mkdir()
        (tmp_path / generation / "default").write_text(key)
    (tmp_path / "..data").symlink_to("..2026_1")
    (tmp_path / "default").symlink_to("..data/default")
    keys = keys_of(tmp_path)
    assert keys.check(bearer("one")) == "default"

    (tmp_path / "..data_tmp").symlink_to("..2026_2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    keys.reload()
    assert keys.check(bearer("two")) == "default"
    with pytest.raises(Unauthorized):
        keys.check(bearer("one"))


def test_what_kubernetes_keeps_for_itself_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    keys = keys_of(tmp_path, **{"..hidden": "hidden", ".dot": "dot", "default": "one"})
    for key in ("hidden", "dot"):
        with pytest.raises(Unauthorized):
            keys.check(bearer(key))
    assert keys.check(bearer("one")) == "default"


@pytest.mark.parametrize("folder", ["empty", "missing", "blank", "a-file"])
def test_a_folder_without_keys_lets_nobody_in_and_says_so(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "blank").mkdir()
    (tmp_path / "blank" / "default").write_text(" \n")
    (tmp_path / "a-file").write_text("key")
    with capture_logs() as logs:
        keys = keys_of(tmp_path / folder)
    assert logs[-1]["log_level"] == "error"
    for key in ("", " ", "key", "anything"):
        with pytest.raises(Unauthorized):
            keys.check({"X-API-Key": key})


def test_keys_never_read_let_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "default").write_text("one")
    with pytest.raises(Unauthorized):
        ApiKeys(tmp_path).check(bearer("one"))


def test_a_key_that_cannot_be_read_is_named_and_the_others_stay_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("one")
    read_bytes = Path.read_bytes

    def refusing(path: Path) -> bytes:
        if path.name == "secret":
            raise PermissionError(13, "Permission denied")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refusing)
    with capture_logs() as logs:
        keys = keys_of(tmp_path, default="two")
    assert logs[0]["name"] == "secret"
    assert keys.check(bearer("two")) == "default"


def test_names_are_logged_on_a_change_and_keys_are_kept_and_logged_nowhere(tmp_path: Path) -> None:
    with capture_logs() as logs:
        keys = keys_of(tmp_path, default="a-secret-key")
        keys.reload()
    assert [(line["event"], line.get("names")) for line in logs] == [("api keys loaded", ["default"])]
    assert "a-secret-key" not in repr(logs) + repr(vars(keys))


async def test_a_running_server_reads_its_keys_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aurora_runtime.inference.app.KEYS_RELOAD_SECONDS", 0.0)
    async with _fresh_keys(tmp_path) as keys:
        assert keys is not None
        (tmp_path / "default").write_text("one")
        await until(lambda: bool(keys._digests))
        assert keys.check(bearer("one")) == "default"
