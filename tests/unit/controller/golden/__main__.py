"""Prints what today's controller leaves, as a golden file."""

import asyncio
import sys

import yaml

from tests.unit.controller.golden import schema_of
from tests.unit.controller.whole_namespace import WholeNamespace, a_lived_in_namespace


async def main() -> None:
    namespace = WholeNamespace()
    await a_lived_in_namespace(namespace)
    golden = {"schema": schema_of(), **namespace.stored()}
    yaml.safe_dump(golden, sys.stdout, sort_keys=False, width=120, default_flow_style=None)


asyncio.run(main())
