"""Workloads of message ids (`message.dedup.mode=window`): what they cost beside none, how many of them fit and come back, and what they
leave of the rate. Functions of a [`Turn`](turn.py), as those of workloads.py."""
import urllib.request

import clients
import kafka_wire
import proc
from forms import PARTITIONS

WINDOW = {"message.dedup.mode": "window"}
# A header of 36 characters, another one in every record, in batches of a hundred records with 200 bytes of value.
LOAD = {"record_size": 200, "records_per_batch": 100, "connections": 1, "in_flight": 5, "id_header": "message-id"}
# Of each load that is measured, at the most: the ids of all together have to fit into the memory that they may take by default.
LOAD_MAX_S = 2.5


def cost(turn):
    """The same records to a topic that looks at their ids and to one that does not, in turns, so that both meet the same machine."""
    load = {**LOAD, "duration": min(turn.form.seconds / 2, LOAD_MAX_S)}
    with turn.broker() as broker:
        records, cpu_s = ({with_ids: 0 for with_ids in (False, True)} for _ in range(2))
        topics = {with_ids: f"{turn.topic}-{with_ids}".lower() for with_ids in (False, True)}
        for with_ids, topic in topics.items():
            _create(broker, topic, WINDOW if with_ids else {})
            clients.produce(broker.port, topic, **LOAD, duration=max(turn.form.settle_s, 0.5) / 2)
        for with_ids in (False, True, True, False):
            with turn.interval(broker) as interval:
                result = clients.produce(broker.port, topics[with_ids], **load)
            records[with_ids] += result["records"]
            cpu_s[with_ids] += interval.cpu_s
        assert _counted(broker, "einmal_dedup_evicted_total") == 0, "ids were forgotten before their time"
        without, with_ids = (cpu_s[each] / records[each] * 1e6 for each in (False, True))
        return {"cpu_us": with_ids - without, "without_us": without}


def live_ids(turn):
    """So many ids that are remembered, after a clean stop: what the broker takes with them, and until it serves."""
    count = turn.form.message_ids
    with turn.own_broker("einmal.dedup.memory.bytes=500000000") as broker:
        _create(broker, turn.topic, {**WINDOW, "message.dedup.window.max.ids": str(2 * count)})
        clients.produce(broker.port, turn.topic, **{**LOAD, "record_size": 16}, records=count)
        assert _counted(broker, "einmal_dedup_evicted_total") == 0, "ids were forgotten before their time"
        began = broker.restart()
        seconds = kafka_wire.first_produce(broker.port, turn.topic, 300) - began
        return {"rss_mb": proc.rss_mb(broker.pid), "rss_peak_mb": proc.rss_peak_mb(broker.pid), "s": seconds}


def all_together(turn):
    """An idempotent producer with acks=all: einmal looks at ids besides, Kafka gets the same records without."""
    is_einmal = turn.side == "einmal"
    load = {**LOAD, "idempotent": True, **({} if is_einmal else {"id_header": None})}
    with turn.broker() as broker:
        _create(broker, turn.topic, WINDOW if is_einmal else {})
        clients.produce(broker.port, turn.topic, **load, duration=max(turn.form.settle_s, 0.5))
        with turn.interval(broker) as interval:
            result = clients.produce(broker.port, turn.topic, **load, duration=min(turn.form.seconds, 4 * LOAD_MAX_S), verify=turn.is_first)
        return {"records_per_s": result["records_per_s"], "cpu_us": interval.cpu_s * 1e6 / result["records"]}


def _create(broker, topic, settings):
    with kafka_wire.Connection(broker.port) as connection:
        connection.create_topics({topic: settings}, PARTITIONS)
    kafka_wire.wait_until_served(broker.port, topic, PARTITIONS)


def _counted(broker, family):
    """What einmal has counted over all topics; 0 if it has not counted any."""
    with urllib.request.urlopen(f"{broker.admin}/metrics", timeout=30) as told:
        lines = told.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(family))
