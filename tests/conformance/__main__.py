"""``python -m tests.conformance --url http://localhost:8080 --model my-model --example rows.json``

The example is a JSON object: ``tensor``, the name of the input that takes whole rows; ``rows``, at least three; and
``predictions``, what the first output holds for them.
Exit code 0 when every check that applies has passed, 1 otherwise.
"""

import argparse
import json
import sys
from pathlib import Path

from tests.conformance.kit import line, run, scores
from tests.conformance.target import Example, Target

MOST_REASON = 300


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=(__doc__ or "").partition("\n")[2])
    parser.add_argument("--url", required=True, help="http://host:port, with a prefix if there is one")
    parser.add_argument("--model", required=True)
    parser.add_argument("--example", type=Path, required=True, help="file with tensor, rows and predictions")
    parser.add_argument("--api-key", help="sent as Authorization: Bearer")
    arguments = parser.parse_args()
    headers = {"Authorization": f"Bearer {arguments.api_key}"} if arguments.api_key else {}
    example = Example(**json.loads(arguments.example.read_text()))
    target = Target(url=arguments.url, model=arguments.model, example=example, headers=headers)
    outcomes = []
    for outcome in run(target):
        print(line(outcome)[:MOST_REASON], flush=True)  # noqa: T201
        outcomes.append(outcome)
    told = scores(outcomes)
    print(", ".join(f"{name} {passed}/{asked}" for name, (passed, asked) in told.items()))  # noqa: T201
    return 0 if told["all"][0] == told["all"][1] else 1


if __name__ == "__main__":
    sys.exit(main())
