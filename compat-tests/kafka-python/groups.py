"""Members of groups: who has which partition, where reading goes on, and what a restart of the broker changes (nothing)."""

import queue
import threading
from concurrent.futures import Future

from client import BOOTSTRAP, create, producer, send
from client import consumer as new_consumer
from kafka import ConsumerRebalanceListener, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.structs import OffsetAndMetadata
from scenario import fresh, rebalances_since_start, restart_broker, stop_and_start_broker, until

ALL = [0, 1, 2, 3]


class Member(ConsumerRebalanceListener):
    """A consumer that subscribes, in a thread of its own, and notes what it is told and given."""

    def __init__(self, group, topic, assignor=RangePartitionAssignor, **settings):
        self.events, self.records, self.owned = [], [], set()
        self._wishes, self._ended = queue.Queue(), threading.Event()
        self._client = new_consumer(
            group,
            partition_assignment_strategy=[assignor],
            session_timeout_ms=20_000,
            heartbeat_interval_ms=200,
            **settings,
        )
        self._client.subscribe([topic], listener=self)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def on_partitions_revoked(self, revoked):
        self.events.append(("revoked", sorted(part.partition for part in revoked)))
        self.owned -= {part.partition for part in revoked}

    def on_partitions_assigned(self, assigned):
        self.events.append(("assigned", sorted(part.partition for part in assigned)))
        self.owned |= {part.partition for part in assigned}

    def _run(self):
        while not self._ended.is_set():
            # This client forgets that it has joined if the time to poll ends meanwhile.
            for records in self._client.poll(500).values():
                self.records.extend(records)
            while not self._wishes.empty():
                wish, done = self._wishes.get()
                try:
                    done.set_result(wish(self._client))
                except Exception as error:  # noqa: BLE001 - it belongs to who asked
                    done.set_exception(error)
        self._client.close(autocommit=False)

    def do(self, wish):
        """Does something with the client in its thread, and answers the outcome."""
        done = Future()
        self._wishes.put((wish, done))
        return done.result(30)

    def commit(self):
        self.do(lambda client: client.commit())

    def close(self):
        self._ended.set()
        self._thread.join()

    @property
    def partitions(self):
        return sorted(self.owned)

    @property
    def values(self):
        return [record.value.decode() for record in list(self.records)]


def shared(members):
    """Whether the members have all partitions between them, each one."""
    return sorted(part for member in members for part in member.partitions) == ALL and all(m.partitions for m in members)


def fill(topic, begin, end):
    """Numbers as values, over the partitions in turn."""
    client = producer(enable_idempotence=True)
    for partition in ALL:
        send(client, topic, [str(number) for number in range(begin, end) if number % len(ALL) == partition], partition=partition)
    client.close()


def numbers(begin, end):
    return sorted(str(number) for number in range(begin, end))


def group_shares_partitions():
    topic, group = create(fresh("shared"), len(ALL)), fresh("group")
    first, second = Member(group, topic), Member(group, topic)
    until(lambda: shared([first, second]))
    fill(topic, 0, 100)
    until(lambda: len(first.records) + len(second.records) >= 100)
    assert sorted(first.values + second.values) == numbers(0, 100)
    first.commit()
    second.commit()
    second.close()
    until(lambda: first.partitions == ALL)
    fill(topic, 100, 140)
    until(lambda: len(first.records) >= 90)
    assert sorted(first.values[50:]) == numbers(100, 140)
    first.close()


def group_goes_on_at_the_committed_offset():
    topic, group = create(fresh("resume")), fresh("group")
    send(producer(), topic, [str(number) for number in range(100)])
    place = TopicPartition(topic, 0)
    member = Member(group, topic)
    until(lambda: len(member.records) == 100)
    member.do(lambda client: client.commit({place: OffsetAndMetadata(60, "", -1)}))
    member.close()
    member = Member(group, topic)
    until(lambda: len(member.records) == 40)
    assert member.values == [str(number) for number in range(60, 100)]
    member.do(lambda client: client.seek(place, 97))
    until(lambda: member.values[40:] == ["97", "98", "99"])
    # An offset beyond the end is none: the policy decides.
    member.do(lambda client: client.commit({place: OffsetAndMetadata(5000, "", -1)}))
    member.close()
    member = Member(group, topic)
    until(lambda: len(member.records) == 100)
    member.close()


def cooperative_member_keeps_what_stays_its_own():
    topic, group = create(fresh("cooperative"), len(ALL)), fresh("group")
    first = Member(group, topic, CooperativeStickyAssignor)
    until(lambda: first.partitions == ALL)
    second = Member(group, topic, CooperativeStickyAssignor)
    until(lambda: shared([first, second]))
    revoked = [part for what, parts in first.events if what == "revoked" for part in parts]
    assert len(revoked) == 2 and sorted(revoked + first.partitions) == ALL, first.events
    first.close()
    until(lambda: second.partitions == ALL)
    second.close()


def static_member_comes_back_unnoticed():
    topic, group = create(fresh("static"), len(ALL)), fresh("group")
    first, second = Member(group, topic, group_instance_id="a"), Member(group, topic, group_instance_id="b")
    until(lambda: shared([first, second]))
    had, events = second.partitions, list(first.events)
    second.close()
    second = Member(group, topic, group_instance_id="b")
    until(lambda: second.partitions == had)
    assert first.events == events, first.events
    first.close()
    second.close()


def groups_are_described():
    topic, group = create(fresh("described"), len(ALL)), fresh("group")
    member, admin = Member(group, topic), KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    until(lambda: member.partitions == ALL)
    found = admin.describe_groups([group])[group]
    assert (found["group_state"], len(found["members"])) == ("Stable", 1), found
    member.close()
    admin.close()


def undisturbed_by(restart):
    """Two members, a restart of the broker, and nothing happened: no callback, no JoinGroup, each record once."""
    topic, group = create(fresh("undisturbed"), len(ALL)), fresh("group")
    members = [Member(group, topic), Member(group, topic)]
    until(lambda: shared(members))
    fill(topic, 0, 100)
    until(lambda: sum(len(member.records) for member in members) >= 100)
    members[0].commit()  # what the other read stays uncommitted
    events = [list(member.events) for member in members]
    assert rebalances_since_start() != 0, "rebalances are not counted"
    restart()
    fill(topic, 100, 200)
    until(lambda: sum(len(member.records) for member in members) >= 200)
    for member in members:
        member.commit()
    assert [member.events for member in members] == events, [member.events for member in members]
    assert sorted(members[0].values + members[1].values) == numbers(0, 200)
    assert not rebalances_since_start()
    for member in members:
        member.close()


def group_is_undisturbed_by_a_stop_and_start():
    undisturbed_by(stop_and_start_broker)


def group_is_undisturbed_by_a_kill():
    undisturbed_by(restart_broker)


GROUPS = [
    group_shares_partitions,
    group_goes_on_at_the_committed_offset,
    cooperative_member_keeps_what_stays_its_own,
    static_member_comes_back_unnoticed,
    groups_are_described,
    group_is_undisturbed_by_a_stop_and_start,
    group_is_undisturbed_by_a_kill,
]
