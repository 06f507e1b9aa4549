import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from aurora_controller.kube.kubeconfig import ConfigError, Credentials, NeedsPlugin, read_kubeconfig


def a_document(
    *, current: str | None = "here", cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": current,
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://api:6443/"} | (cluster or {})}],
        "users": [{"name": "u", "user": user or {}}],
    }


def read(folder: Path, *documents: Any) -> Credentials:
    paths = []
    for number, document in enumerate(documents):
        paths.append(folder / f"config{number}")
        paths[-1].write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return read_kubeconfig(paths)


def test_the_current_context_says_which_server_and_which_user(tmp_path: Path) -> None:
    document = a_document(user={"token": "t"})
    document["clusters"].insert(0, {"name": "other", "cluster": {"server": "https://other"}})
    document["users"].insert(0, {"name": "other", "user": {"token": "other"}})
    credentials = read(tmp_path, document)
    assert (credentials.server, credentials.authorization) == ("https://api:6443", "Bearer t")


def test_certificates_are_inline_or_in_files_beside_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("key")
    cluster = {"certificate-authority-data": base64.b64encode(b"authority").decode()}
    user = {"client-certificate-data": base64.b64encode(b"certificate").decode(), "client-key": "key.pem"}
    credentials = read(tmp_path, a_document(cluster=cluster, user=user))
    assert (credentials.ca, credentials.certificate, credentials.key) == (b"authority", b"certificate", b"key")


def test_a_token_file_is_read_each_time_and_wins_over_the_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("fresh\n")
    user = {"tokenFile": "token", "token": "stale"}
    assert read(tmp_path, a_document(user=user)).authorization == "Bearer fresh"


def test_a_name_and_a_password_are_sent_as_basic_authorization(tmp_path: Path) -> None:
    user = {"username": "me", "password": "secret"}
    expected = f"Basic {base64.b64encode(b'me:secret').decode()}"
    assert read(tmp_path, a_document(user=user)).authorization == expected


def test_how_to_reach_the_server_is_passed_on(tmp_path: Path) -> None:
    cluster = {"proxy-url": "http://proxy:3128", "tls-server-name": "api", "insecure-skip-tls-verify": True}
    credentials = read(tmp_path, a_document(cluster=cluster))
    assert (credentials.proxy, credentials.tls_server_name, credentials.verifies_server) == (
        "http://proxy:3128",
        "api",
        False,
    )


def test_of_several_files_the_first_that_names_a_thing_wins(tmp_path: Path) -> None:
    first = {"current-context": "here", "users": [{"name": "u", "user": {"token": "first"}}]}
    assert read(tmp_path, first, a_document(user={"token": "second"})).authorization == "Bearer first"


def test_a_missing_file_among_several_is_passed_by(tmp_path: Path) -> None:
    (tmp_path / "there").write_text(yaml.safe_dump(a_document()))
    assert read_kubeconfig([tmp_path / "missing", tmp_path / "there"]).server == "https://api:6443"


@pytest.mark.parametrize("user", [{"exec": {"command": "aws"}}, {"auth-provider": {"name": "oidc"}}])
def test_credentials_that_come_from_elsewhere_are_not_read_here(tmp_path: Path, user: dict[str, Any]) -> None:
    with pytest.raises(NeedsPlugin):
        read(tmp_path, a_document(user=user))


@pytest.mark.parametrize(
    ("document", "what"),
    [
        pytest.param("{", "not YAML", id="not YAML"),
        pytest.param("just words", "no kubeconfig", id="no mapping"),
        pytest.param(a_document(current=None), "no current context", id="no current context"),
        pytest.param(a_document(current="gone"), "no context named gone", id="unknown context"),
        pytest.param(a_document() | {"clusters": []}, "no cluster named c", id="unknown cluster"),
        pytest.param(a_document() | {"users": []}, "no user named u", id="unknown user"),
        pytest.param(a_document(cluster={"server": ""}), "no server", id="no server"),
        pytest.param(a_document(cluster={"certificate-authority-data": "%"}), "not base64", id="not base64"),
    ],
)
def test_what_is_wrong_with_a_kubeconfig_is_said_in_words(tmp_path: Path, document: Any, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        read(tmp_path, document)


def test_a_changed_certificate_is_a_change_of_trust_and_a_changed_token_is_not() -> None:
    one = Credentials(server="s", ca=b"1", authorization="Bearer 1")
    assert one.trust == Credentials(server="s", ca=b"1", authorization="Bearer 2").trust
    assert one.trust != Credentials(server="s", ca=b"2", authorization="Bearer 1").trust
