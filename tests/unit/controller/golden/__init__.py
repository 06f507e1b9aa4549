"""What controllers left in a namespace: one file per schema of the CRDs, numbered, and named by what came with it.

When the schema changes, leave these files as they are, let ``a_lived_in_namespace`` use what is new, and add one:
``python -m tests.unit.controller.golden > tests/unit/controller/golden/<number>-<what came>.yaml``.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.glob("*.yaml"))
CRDS = Path(__file__).parents[4] / "config" / "crd"


def read(path: Path) -> dict[str, Any]:
    """``schema``, ``now`` and ``objects``."""
    content: dict[str, Any] = yaml.load(path.read_text(), yaml.CSafeLoader)
    return content


def schema_of(folder: Path = CRDS) -> str:
    """A fingerprint of what decides how objects are stored: fields, types and defaults of all kinds."""
    crds = [yaml.safe_load(path.read_text()) for path in sorted(folder.glob("aurora.io_*"))]
    schemas = [_what_is_stored(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]) for crd in crds]
    return sha256(json.dumps(schemas, sort_keys=True).encode()).hexdigest()[:16]


def _what_is_stored(schema: Mapping[str, Any]) -> dict[str, Any]:
    stored = {key: schema.get(key) for key in ("type", "default", "x-kubernetes-preserve-unknown-fields")}
    stored |= {key: _what_is_stored(schema[key]) for key in ("items", "additionalProperties") if key in schema}
    properties = {name: _what_is_stored(inner) for name, inner in schema.get("properties", {}).items()}
    return stored | {"properties": properties}
