"""Members of groups: who has which partition, where reading goes on, and what a restart of the broker changes (nothing)."""

import threading

from client import BOOTSTRAP, create, producer, send
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from scenario import fresh, kill_broker, rebalances_since_start, restart_broker, stop_and_start_broker, until

ALL = [0, 1, 2, 3]


class Member:
    """A consumer that subscribes, and notes what it is told and given."""

    def __init__(self, group, topic, **settings):
        self.events, self.records, self.errors = [], [], []
        given = {key.replace("_", "."): value for key, value in settings.items()}
        # With the other protocol these are the broker's to say.
        classic = {"partition.assignment.strategy": "range", "session.timeout.ms": 20_000, "heartbeat.interval.ms": 200}
        self.client = Consumer({
            **BOOTSTRAP,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            **({} if given.get("group.protocol") == "consumer" else classic),
            **given,
        })
        self.client.subscribe([topic], on_assign=self._note("assigned"), on_revoke=self._note("revoked"), on_lost=self._note("lost"))

    def _note(self, what):
        return lambda _, parts: self.events.append((what, sorted(part.partition for part in parts)))

    def poll(self):
        message = self.client.poll(0.02)
        while message is not None:
            if message.error() is None:
                self.records.append(message)
            else:
                self.errors.append(message.error().code())
            message = self.client.poll(0)

    def commit(self):
        return self.client.commit(asynchronous=False)

    def close(self):
        self.client.close()

    @property
    def partitions(self):
        return sorted(part.partition for part in self.client.assignment())

    @property
    def values(self):
        return [message.value().decode() for message in self.records]


def wait(members, condition, seconds=40):
    """Polls the members in turn until the condition holds."""

    def step():
        for member in members:
            member.poll()
        return condition()

    until(step, seconds)


def shared(members):
    """Whether the members have all partitions between them, each one."""
    owned = [partition for member in members for partition in member.partitions]
    return sorted(owned) == ALL and all(member.partitions for member in members)


def fill(topic, begin, end):
    """Numbers as values, over the partitions in turn."""
    client = producer(enable_idempotence=True)
    for partition in ALL:
        send(client, topic, [str(number) for number in range(begin, end) if number % len(ALL) == partition], partition=partition)


def numbers(begin, end):
    return sorted(str(number) for number in range(begin, end))


def group_shares_partitions(**settings):
    topic, group = create(fresh("shared"), len(ALL)), fresh("group")
    members = [Member(group, topic, **settings), Member(group, topic, **settings)]
    wait(members, lambda: shared(members))
    fill(topic, 0, 100)
    wait(members, lambda: len(members[0].records) + len(members[1].records) >= 100)
    assert sorted(members[0].values + members[1].values) == numbers(0, 100)
    assert len(members[0].records) == len(members[1].records) == 50
    members[0].commit()
    members[1].commit()
    members[1].close()
    wait(members[:1], lambda: members[0].partitions == ALL)
    fill(topic, 100, 140)
    wait(members[:1], lambda: len(members[0].records) >= 90)
    assert sorted(members[0].values[50:]) == numbers(100, 140)
    members[0].close()


def group_goes_on_at_the_committed_offset():
    topic, group = create(fresh("resume")), fresh("group")
    send(producer(), topic, [str(number) for number in range(100)])
    member = Member(group, topic)
    wait([member], lambda: len(member.records) == 100)
    member.client.commit(offsets=[TopicPartition(topic, 0, 60)], asynchronous=False)
    member.close()
    member = Member(group, topic)
    wait([member], lambda: len(member.records) == 40)
    assert member.values == [str(number) for number in range(60, 100)]
    member.close()


def group_seeks_and_resets():
    topic, group = create(fresh("reset")), fresh("group")
    send(producer(), topic, [str(number) for number in range(10)])
    member = Member(group, topic, auto_offset_reset="latest")
    wait([member], lambda: member.partitions == [0] and member.client.position([TopicPartition(topic, 0)])[0].offset != 0)
    member.client.seek(TopicPartition(topic, 0, 7))
    wait([member], lambda: member.values == ["7", "8", "9"])
    member.client.seek(TopicPartition(topic, 0, OFFSET_BEGINNING))
    wait([member], lambda: len(member.records) == 13)
    member.client.commit(offsets=[TopicPartition(topic, 0, 5000)], asynchronous=False)
    member.close()
    # An offset beyond the end is none: the policy decides.
    member = Member(group, topic, auto_offset_reset="earliest")
    wait([member], lambda: len(member.records) == 10)
    member.close()


def cooperative_member_keeps_what_stays_its_own():
    topic, group = create(fresh("cooperative"), len(ALL)), fresh("group")
    cooperative = {"partition_assignment_strategy": "cooperative-sticky"}
    first = Member(group, topic, **cooperative)
    wait([first], lambda: first.partitions == ALL)
    second = Member(group, topic, **cooperative)
    wait([first, second], lambda: shared([first, second]))
    revoked = [part for what, parts in first.events if what == "revoked" for part in parts]
    assert len(revoked) == 2 and sorted(revoked + first.partitions) == ALL, first.events
    first.close()
    wait([second], lambda: second.partitions == ALL)
    second.close()


def static_member_comes_back_unnoticed():
    topic, group = create(fresh("static"), len(ALL)), fresh("group")
    first, second = Member(group, topic, group_instance_id="a"), Member(group, topic, group_instance_id="b")
    wait([first, second], lambda: shared([first, second]))
    had, events = second.partitions, list(first.events)
    second.close()
    second = Member(group, topic, group_instance_id="b")
    wait([first, second], lambda: second.partitions == had)
    wait([first, second], lambda: shared([first, second]))
    assert first.events == events, first.events
    # The third of that name fences the second.
    third = Member(group, topic, group_instance_id="b")
    wait([first, second, third], lambda: third.partitions == had)
    wait([first, second], lambda: KafkaError._FATAL in second.errors or KafkaError.FENCED_INSTANCE_ID in second.errors)
    assert first.events == events, first.events
    for member in (first, second, third):
        member.close()


def groups_are_described():
    topic, group = create(fresh("described"), len(ALL)), fresh("group")
    member, admin = Member(group, topic, client_id="me"), AdminClient(BOOTSTRAP)
    wait([member], lambda: member.partitions == ALL)
    found = admin.describe_consumer_groups([group])[group].result(30)
    assert (found.state.name, len(found.members), found.members[0].client_id) == ("STABLE", 1, "me"), found
    assert sorted(part.partition for part in found.members[0].assignment.topic_partitions) == ALL
    assert group in [listed.group_id for listed in admin.list_consumer_groups().result().valid]
    member.close()
    admin.delete_consumer_groups([group])[group].result(30)


def undisturbed_by(restart, **settings):
    """Two members, a restart of the broker, and nothing happened: no callback, no JoinGroup, each record once."""
    topic, group = create(fresh("undisturbed"), len(ALL)), fresh("group")
    members = [Member(group, topic, **settings), Member(group, topic, **settings)]
    wait(members, lambda: shared(members))
    fill(topic, 0, 100)
    wait(members, lambda: sum(len(member.records) for member in members) >= 100)
    members[0].commit()  # what the other read stays uncommitted
    events = [list(member.events) for member in members]
    assert rebalances_since_start() != 0, "rebalances are not counted"
    restart()
    fill(topic, 100, 200)
    wait(members, lambda: sum(len(member.records) for member in members) >= 200)
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


def consumer_group_shares_partitions():
    group_shares_partitions(group_protocol="consumer")


def consumer_group_is_undisturbed_by_a_stop_and_start():
    undisturbed_by(stop_and_start_broker, group_protocol="consumer")


def consumer_group_is_undisturbed_by_a_kill():
    undisturbed_by(restart_broker, group_protocol="consumer")


def group_survives_a_kill_in_a_rebalance():
    topic, group = create(fresh("rebalance"), len(ALL)), fresh("group")
    members = [Member(group, topic)]
    wait(members, lambda: shared(members))
    fill(topic, 0, 100)
    wait(members, lambda: len(members[0].records) == 100)
    members[0].commit()
    for _ in range(2):
        revoked = len(members[0].events)
        members.append(Member(group, topic))
        # The old members have given up their partitions and ask to join: the rebalance is under way.
        wait(members, lambda: len(members[0].events) > revoked)
        restart_broker()
        wait(members, lambda: shared(members))
    fill(topic, 100, 200)
    wait(members, lambda: sum(len(member.records) for member in members) >= 200)
    assert sorted(value for member in members for value in member.values) == numbers(0, 200)
    for member in members:
        member.close()


def committed(group, topic):
    """The offset of the first partition, by another client; none while the coordinator is loading."""
    other = Consumer({**BOOTSTRAP, "group.id": group})
    try:
        return other.committed([TopicPartition(topic, 0)], 30)[0].offset
    except KafkaException as error:
        assert error.args[0].retriable() or error.args[0].code() == KafkaError.NOT_COORDINATOR, error
        return None
    finally:
        other.close()


def group_survives_a_kill_in_a_commit():
    topic, group = create(fresh("commits")), fresh("group")
    member = Member(group, topic)
    wait([member], lambda: member.partitions == [0])
    told = []

    def commit_on():
        for offset in range(1, 100_000):
            if ended.is_set():
                return
            member.client.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
            told.append(offset)

    ended = threading.Event()
    committer = threading.Thread(target=commit_on)
    committer.start()
    events = list(member.events)
    for _ in range(3):
        told_before = len(told)
        until(lambda: len(told) > told_before + 20)
        kill_broker()
        last_told = told[-1]
        restart_broker()
        found = until(lambda: committed(group, topic))
        assert found >= last_told, f"offset {last_told} was committed, and {found} is found"
    ended.set()
    committer.join()
    wait([member], lambda: True)
    assert member.events == events, member.events
    assert member.client.committed([TopicPartition(topic, 0)], 30)[0].offset == told[-1]
    member.close()


GROUPS = [
    group_shares_partitions,
    group_goes_on_at_the_committed_offset,
    group_seeks_and_resets,
    cooperative_member_keeps_what_stays_its_own,
    static_member_comes_back_unnoticed,
    groups_are_described,
    group_is_undisturbed_by_a_stop_and_start,
    group_is_undisturbed_by_a_kill,
    group_survives_a_kill_in_a_rebalance,
    group_survives_a_kill_in_a_commit,
    consumer_group_shares_partitions,
    consumer_group_is_undisturbed_by_a_stop_and_start,
    consumer_group_is_undisturbed_by_a_kill,
]
