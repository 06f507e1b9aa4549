"""Which annotations a person may put on the Ingress of an MLDeployment.

Aurora answers for the split of the traffic, so whatever moves requests elsewhere, changes their path, host or
credentials, or runs configuration of its own is refused. Of the NGINX dialect only the names below are let through;
keys of other ingress controllers are refused whole; keys that no ingress controller reads (cert-manager, ExternalDNS,
a team's own) pass. Session affinity is refused for it takes precedence over a canary's weight.
"""

from typing import Final

from aurora_controller.api.validation import Rule

NGINX_PREFIX: Final = "nginx.ingress.kubernetes.io/"

ALLOWED_NGINX_ANNOTATIONS: Final = (
    "allowlist-source-range",
    "client-body-buffer-size",
    "cors-allow-credentials",
    "cors-allow-headers",
    "cors-allow-methods",
    "cors-allow-origin",
    "cors-expose-headers",
    "cors-max-age",
    "denylist-source-range",
    "enable-access-log",
    "enable-cors",
    "enable-opentelemetry",
    "force-ssl-redirect",
    "limit-allowlist",
    "limit-burst-multiplier",
    "limit-connections",
    "limit-rate",
    "limit-rate-after",
    "limit-rpm",
    "limit-rps",
    "limit-whitelist",
    "opentelemetry-trust-incoming-span",
    "proxy-body-size",
    "proxy-buffer-size",
    "proxy-buffering",
    "proxy-buffers-number",
    "proxy-busy-buffers-size",
    "proxy-connect-timeout",
    "proxy-http-version",
    "proxy-max-temp-file-size",
    "proxy-next-upstream",
    "proxy-next-upstream-timeout",
    "proxy-next-upstream-tries",
    "proxy-read-timeout",
    "proxy-request-buffering",
    "proxy-send-timeout",
    "ssl-redirect",
    "whitelist-source-range",
)
_INGRESS_CONTROLLERS: Final = (
    "ingress",
    "nginx",
    "traefik",
    "haproxy",
    "konghq",
    "projectcontour",
    "zalando",
    "apisix",
    "istio",
    "getambassador",
    "aurora.io",
)
"""Words in the keys that such controllers, or Aurora itself, read."""


def _strings(values: tuple[str, ...]) -> str:
    return "[" + ", ".join(f"'{value}'" for value in values) + "]"


_REFUSED: Final = (
    f"{_strings(_INGRESS_CONTROLLERS)}.exists(word, key.contains(word)) "
    f"&& !(key.startsWith('{NGINX_PREFIX}') "
    f"&& key.substring({len(NGINX_PREFIX)}) in {_strings(ALLOWED_NGINX_ANNOTATIONS)})"
)

HARMLESS_ANNOTATIONS: Final = Rule(
    expression=f"!self.exists(key, {_REFUSED})",
    message_expression=(
        f"self.filter(key, {_REFUSED})[0] + ' would change who gets which request, "
        "and that is for this MLDeployment to decide: remove it'"
    ),
    message=(
        "annotations must not change who gets which request: remove those of ingress controllers other than limits, "
        "timeouts, CORS, source ranges and redirects to https"
    ),
)
