import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.typing import EventDict

from aurora_controller.kube.config import ClusterConfig, RotatingConfig, StaticConfig, load_config
from aurora_controller.kube.errors import ConnectionFailed
from aurora_controller.kube.kubeconfig import ConfigError, Credentials
from aurora_controller.kube.meta import Kind
from aurora_controller.kube.rest import RestClient
from tests.unit.fakes.api_faults import Answer
from tests.unit.fakes.api_server import FakeAPIServer
from tests.unit.fakes.clock import FakeClock, QuickClock

CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")
CERTIFICATES = Path(__file__).parents[2] / "fakes" / "certificates"
FIRST, SECOND = CERTIFICATES / "first.pem", CERTIFICATES / "second.pem"


def public_part(pem: Path) -> str:
    certificate, end, _ = pem.read_text().partition("-----END CERTIFICATE-----\n")
    return certificate + end


def serving(pem: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    return context


class Pod:
    """A service account's folder, and the variables of a pod in front of this server."""

    def __init__(self, server: FakeAPIServer, folder: Path, *, trusts: Path) -> None:
        self.server = server
        self.clock = FakeClock()
        self._folder = folder
        self._trusts = trusts
        self.write_token("one")
        self.write_ca(trusts)

    def write_token(self, token: str) -> None:
        (self._folder / "token").write_text(f"{token}\n")

    def write_ca(self, pem: Path) -> None:
        (self._folder / "ca.crt").write_text(public_part(pem))

    def remove_token(self) -> None:
        (self._folder / "token").unlink()

    async def config(self) -> ClusterConfig:
        host, _, port = self.server.url.removeprefix("https://").partition(":")
        environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
        return await load_config(environment, service_account=self._folder, clock=self.clock)

    @property
    def tokens(self) -> list[str]:
        """The tokens the server has seen."""
        return [one.headers["Authorization"] for one in self.server.received]


@asynccontextmanager
async def a_pod(folder: Path, *, serves: Path = FIRST, trusts: Path = FIRST) -> AsyncIterator[Pod]:
    async with FakeAPIServer(CONFIG_MAP, ssl_context=serving(serves)) as server:
        yield Pod(server, folder, trusts=trusts)


async def ask(rest: RestClient) -> None:
    await rest.request("GET", CONFIG_MAP.path("team"))


async def test_a_pod_uses_its_service_account(tmp_path: Path) -> None:
    async with a_pod(tmp_path) as pod, RestClient(await pod.config()) as rest:
        await ask(rest)
        assert pod.tokens == ["Bearer one"]


async def test_an_ipv6_address_of_the_server_is_put_in_brackets(tmp_path: Path) -> None:
    async with a_pod(tmp_path):
        environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}
        config = await load_config(environment, service_account=tmp_path)
        assert config.server == "https://[fd00::1]:6443"


async def test_a_token_is_read_again_when_it_is_a_minute_old(tmp_path: Path) -> None:
    async with a_pod(tmp_path) as pod, RestClient(await pod.config()) as rest:
        pod.write_token("two")
        await pod.clock.advance(59)
        await ask(rest)
        await pod.clock.advance(2)
        await ask(rest)
        assert pod.tokens == ["Bearer one", "Bearer two"]


async def test_a_refused_token_is_read_again_at_once(tmp_path: Path) -> None:
    async with a_pod(tmp_path) as pod, RestClient(await pod.config()) as rest:
        pod.write_token("two")
        await pod.clock.advance(2)
        pod.server.fail(Answer(code=401, body={"kind": "Status", "code": 401}))
        await ask(rest)
        assert pod.tokens == ["Bearer one", "Bearer two"]


async def test_a_server_that_refuses_everything_does_not_make_us_read_files_all_the_time() -> None:
    clock, reads = FakeClock(), []

    def read() -> Credentials:
        reads.append(clock.monotonic())
        return Credentials(server="http://127.0.0.1:1", authorization=f"Bearer {len(reads)}")

    config = RotatingConfig(read(), read, clock=clock)
    for _ in range(10):
        await clock.advance(0.25)
        await config.access(renew=True)
    assert reads == [0, 1.0, 2.0]


async def test_a_token_that_cannot_be_read_for_a_moment_is_used_as_it_was(
    tmp_path: Path, logged: list[EventDict]
) -> None:
    async with a_pod(tmp_path) as pod, RestClient(await pod.config()) as rest:
        pod.remove_token()
        await pod.clock.advance(61)
        await ask(rest)
        pod.write_token("two")
        await pod.clock.advance(61)
        await ask(rest)
        assert pod.tokens == ["Bearer one", "Bearer two"]
        assert [entry["event"] for entry in logged] == ["credentials not readable, keeping the old ones"]


async def test_a_server_with_a_new_certificate_is_trusted_as_soon_as_the_bundle_has_it(tmp_path: Path) -> None:
    async with a_pod(tmp_path, serves=SECOND, trusts=FIRST) as pod, RestClient(await pod.config()) as rest:
        with pytest.raises(ConnectionFailed):
            await ask(rest)
        pod.write_ca(SECOND)
        await pod.clock.advance(2)
        await ask(rest)
        assert pod.tokens == ["Bearer one"]


async def test_open_connections_are_kept_while_the_certificates_stay_the_same(tmp_path: Path) -> None:
    async with a_pod(tmp_path) as pod:
        config = await pod.config()
        before = await config.access()
        pod.write_token("two")
        pod.write_ca(FIRST)
        await pod.clock.advance(61)
        after = await config.access()
        assert after.authorization == "Bearer two"
        assert after.ssl_context is before.ssl_context


async def test_one_request_reads_again_and_the_others_go_on(tmp_path: Path) -> None:
    async with a_pod(tmp_path) as pod:
        config = await pod.config()
        pod.write_token("two")
        await pod.clock.advance(61)
        answers = await asyncio.gather(*(config.access() for _ in range(5)))
        assert [answer.authorization for answer in answers] == ["Bearer two"] + ["Bearer one"] * 4


async def test_what_is_secret_is_not_printed(tmp_path: Path) -> None:
    credentials = Credentials(server="https://x", authorization="Bearer hush", key=b"hush")
    config = StaticConfig("https://x", authorization="Bearer hush")
    assert "hush" not in f"{credentials!r} {config!r} {await config.access()!r}"


# --- kubeconfig


def a_kubeconfig(folder: Path, server: str, *, cluster: Mapping[str, Any], user: Mapping[str, Any]) -> dict[str, str]:
    document = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": user}],
    }
    file = folder / "config"
    file.write_bytes(orjson.dumps(document))
    return {"KUBECONFIG": str(file)}


async def test_a_kubeconfig_wins_over_the_service_account(tmp_path: Path) -> None:
    environment = a_kubeconfig(tmp_path, "https://elsewhere:6443/", cluster={}, user={"token": "t"})
    environment |= {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
    config = await load_config(environment, service_account=tmp_path)
    assert config.server == "https://elsewhere:6443"
    assert (await config.access()).authorization == "Bearer t"


async def test_a_client_certificate_in_the_kubeconfig_identifies_us(tmp_path: Path) -> None:
    context = serving(FIRST)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(SECOND)
    pem = base64.b64encode(SECOND.read_bytes()).decode()
    async with FakeAPIServer(CONFIG_MAP, ssl_context=context) as server:
        cluster = {"certificate-authority-data": base64.b64encode(public_part(FIRST).encode()).decode()}
        user = {"client-certificate-data": pem, "client-key-data": pem}
        for allowed, who in {True: user, False: {}}.items():
            config = await load_config(a_kubeconfig(tmp_path, server.url, cluster=cluster, user=who))
            async with RestClient(config, clock=QuickClock()) as rest:
                if allowed:
                    await ask(rest)
                else:
                    with pytest.raises(ConnectionFailed):
                        await ask(rest)


async def test_a_server_may_go_by_another_name_in_its_certificate(tmp_path: Path) -> None:
    async with FakeAPIServer(CONFIG_MAP, ssl_context=serving(FIRST)) as server:
        authority = {"certificate-authority": str(FIRST)}
        for name, trusted in {"apiserver.test": True, "other.test": False}.items():
            cluster = {**authority, "tls-server-name": name}
            async with RestClient(
                await load_config(a_kubeconfig(tmp_path, server.url, cluster=cluster, user={}))
            ) as rest:
                if trusted:
                    await ask(rest)
                else:
                    with pytest.raises(ConnectionFailed):
                        await ask(rest)


async def test_verification_can_be_switched_off(tmp_path: Path) -> None:
    async with FakeAPIServer(CONFIG_MAP, ssl_context=serving(FIRST)) as server:
        environment = a_kubeconfig(tmp_path, server.url, cluster={"insecure-skip-tls-verify": True}, user={})
        async with RestClient(await load_config(environment)) as rest:
            await ask(rest)


async def test_a_plugin_is_asked_for_the_token(tmp_path: Path) -> None:
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "from-plugin"},
    }
    (tmp_path / "credential").write_bytes(orjson.dumps(credential))
    plugin = {"apiVersion": credential["apiVersion"], "command": "cat", "args": [str(tmp_path / "credential")]}
    async with FakeAPIServer(CONFIG_MAP) as server:
        environment = a_kubeconfig(tmp_path, server.url, cluster={}, user={"exec": plugin})
        async with RestClient(await load_config(environment)) as rest:
            await ask(rest)
            assert server.received[0].headers["Authorization"] == "Bearer from-plugin"


async def test_a_plugin_that_fails_is_a_plain_error(tmp_path: Path) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "false"}
    environment = a_kubeconfig(tmp_path, "http://127.0.0.1:1", cluster={}, user={"exec": plugin})
    with pytest.raises(ConfigError, match="no credentials from"):
        await load_config(environment)


async def test_without_any_configuration_the_error_names_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing"):
        await load_config({"KUBECONFIG": str(tmp_path / "missing")})
    with pytest.raises(ConfigError, match="cannot be read"):
        await load_config({"KUBERNETES_SERVICE_HOST": "127.0.0.1"}, service_account=tmp_path)
