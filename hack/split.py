"""Sends requests to one model and counts which of its versions answered.

``split.py URL COUNT``, the key in AURORA_API_KEY. Exits with 1 when any answer was not 200.
"""

import http.client
import json
import os
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from urllib.parse import urlsplit

CONNECTIONS = 4
ROW = [8.3, 41.0, 6.9, 1.0, 322.0, 2.5, 37.9, -122.2]
BODY = json.dumps({"inputs": [{"name": "input", "shape": [1, len(ROW)], "datatype": "FP64", "data": ROW}]})


def ask(url: str, key: str, count: int) -> Counter[str]:
    """Answers by version over one kept-alive connection; anything but 200 is counted by its status."""
    target = urlsplit(url)
    connection = http.client.HTTPConnection(target.netloc, timeout=10)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    answers: Counter[str] = Counter()
    for _ in range(count):
        connection.request("POST", target.path, body=BODY, headers=headers)
        response = connection.getresponse()
        content = response.read()
        answers[
            f"version {json.loads(content)['model_version']}" if response.status == 200 else f"status {response.status}"
        ] += 1
    return answers


def main(url: str, count: int) -> int:
    key = os.environ["AURORA_API_KEY"]
    started = perf_counter()
    share, rest = divmod(count, CONNECTIONS)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        parts = pool.map(lambda i: ask(url, key, share + (i < rest)), range(CONNECTIONS))
        answers = sum(parts, Counter[str]())
    seconds = perf_counter() - started
    print(f"{count} requests in {seconds:.1f} s ({count / seconds:.0f}/s)")
    for answer, number in sorted(answers.items()):
        print(f"  {answer}: {number:5d}  {100 * number / count:5.1f} %")
    return 1 if any(answer.startswith("status") for answer in answers) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
