"""How fast each queue sink drains waiting events, against its client library's own fastest confirmed loop.

    make bench-sinks [ARGS="rabbitmq sqs --rounds 3 --quick"]

20,000 events (SQS: 3,000) wait in a store; the runner drains them. Prints a Markdown table. Needs redis-server, and RabbitMQ
(guest/guest) and NATS with JetStream on this machine's standard ports; SQS is moto's server, Kafka librdkafka's mock cluster.
"""

import argparse
import importlib
import os
import pkgutil
import platform

import uvloop

from receiver import logs
from receiver.web.memory import pass_over_what_stays, take_short_turns
from sinks import __path__ as here
from sinks.frame import Bench, measure, others, row

NAMES = sorted(module.name for module in pkgutil.iter_modules(here) if module.name not in ("frame", "__main__"))


async def main(names: list[str], rounds: int, *, quick: bool) -> None:
    """Measure each in turn and print the table."""
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {rounds} rounds, in turn; medians\n")
    print("| sink | events | drained, events/s | library, events/s | ÷ library | the library's fastest loop |")
    print("|---|---|---|---|---|---|", flush=True)
    loops = []
    for name in names:
        bench: Bench = importlib.import_module(f"sinks.{name}").BENCH
        pass_over_what_stays()  # as `serve` does, for both sides
        take_short_turns()
        count = bench.count // 10 if quick else bench.count
        measured = await measure(bench, rounds, count)
        print(row(bench, measured, count), flush=True)
        loops.append(others(bench, measured))
    print("\n| sink | the library's loop | events/s | drained ÷ it |\n|---|---|---|---|")
    print("\n".join(loops))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="SINK", help=f"which of {', '.join(NAMES)}; default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of the events: does it run?")
    options = parser.parse_args()
    logs.configure("json", "warning")
    uvloop.run(main(options.names or NAMES, options.rounds, quick=options.quick))
