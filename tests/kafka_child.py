"""librdkafka's mock cluster in a process of its own: prints its brokers, then obeys a command a line until stdin ends.

The cluster comes with the wheel of confluent-kafka, whose Python has no words for its faults; so ctypes calls it.
Commands: `down N`, `up N` (broker ids from 1), `topic NAME PARTITIONS`, `errors API CODE COUNT`, `clear API`; each answers `ok`.
"""

import ctypes
import sys
from pathlib import Path

import confluent_kafka

BROKERS = 3
PRODUCER = 0


def library() -> ctypes.CDLL:
    """Return the librdkafka that the wheel brought."""
    folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    (path,) = folder.glob("librdkafka-*.so*")
    kafka = ctypes.CDLL(str(path))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(kafka, name).restype = ctypes.c_void_p
    kafka.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return kafka


def obey(kafka: ctypes.CDLL, cluster: ctypes.c_void_p, line: str) -> int:
    """Do what a line says; return librdkafka's error code."""
    match line.split():
        case ["down", broker]:
            return int(kafka.rd_kafka_mock_broker_set_down(cluster, int(broker)))
        case ["up", broker]:
            return int(kafka.rd_kafka_mock_broker_set_up(cluster, int(broker)))
        case ["topic", name, partitions]:
            return int(kafka.rd_kafka_mock_topic_create(cluster, name.encode(), int(partitions), BROKERS))
        case ["leader", name, partition, broker]:
            return int(kafka.rd_kafka_mock_partition_set_leader(cluster, name.encode(), int(partition), int(broker)))
        case ["errors", api, code, count]:
            codes = (ctypes.c_int * int(count))(*[int(code)] * int(count))
            kafka.rd_kafka_mock_push_request_errors_array(
                cluster, ctypes.c_int16(int(api)), ctypes.c_size_t(int(count)), codes
            )
            return 0
        case ["clear", api]:
            kafka.rd_kafka_mock_clear_request_errors(cluster, ctypes.c_int16(int(api)))
            return 0
    return -1


def main() -> None:
    """Run the cluster."""
    kafka = library()
    why = ctypes.create_string_buffer(512)
    conf = ctypes.c_void_p(kafka.rd_kafka_conf_new())
    handle = ctypes.c_void_p(kafka.rd_kafka_new(PRODUCER, conf, why, len(why)))
    cluster = ctypes.c_void_p(kafka.rd_kafka_mock_cluster_new(handle, BROKERS))
    print(kafka.rd_kafka_mock_cluster_bootstraps(cluster).decode(), flush=True)
    for line in sys.stdin:
        code = obey(kafka, cluster, line)
        print("ok" if code == 0 else f"error {code}", flush=True)


if __name__ == "__main__":
    main()
