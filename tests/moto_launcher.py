"""Run moto's server on a port, its SQS made fast enough for thousands of waiting messages, and open to a look inside.

moto counts every message of a queue at each request, and lists all its services; both are made constant here.
`GET /waiting/<queue>` answers with what a queue holds, in its order, without taking it.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterable
from typing import Any

from moto import backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.sqs import models
from werkzeug.serving import make_server

ACCOUNT, REGION = "123456789012", "us-east-1"
_LOOK = "/waiting/"


def waiting(queue: str) -> bytes:
    """Return the messages of a queue as JSON: body, attributes, group and de-duplication id."""
    found = models.sqs_backends[ACCOUNT][REGION].queues[queue]
    shown = [
        {
            "body": one.body,
            "attributes": {name: value["StringValue"] for name, value in one.message_attributes.items()},
            "group": one.group_id,
            "deduplication": one.deduplication_id,
        }
        for one in found._messages
    ]
    return json.dumps(shown, default=str).encode()


def main(port: int) -> None:
    """Serve until killed."""
    for name in ("", "_delayed", "_not_visible"):
        setattr(models.Queue, f"approximate_number_of_messages{name}", property(lambda _: 0))
    modules = tuple(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: modules
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    inner = DomainDispatcherApplication(create_backend_app)

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith(_LOOK):
            start("200 OK", [("Content-Type", "application/json")])
            return [waiting(environ["PATH_INFO"].removeprefix(_LOOK))]
        answer: Iterable[bytes] = inner(environ, start)
        return answer

    make_server("127.0.0.1", port, app, threaded=True).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
