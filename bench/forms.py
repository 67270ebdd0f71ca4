"""How much is measured: tiny to see that each row works, short for everybody, full for a release."""
from dataclasses import dataclass

# In every form: of a record, and of the topics of rows that are not about partitions.
RECORD_BYTES = 1024
PARTITIONS = 6


@dataclass
class Form:
    """Sizes of one form."""

    # Pairs of einmal and Kafka, and further ones in the place of disturbed ones.
    repetitions: int
    retries: int
    # Whether disturbed repetitions are discarded.
    discards: bool
    # Rows that are not for the headline, too.
    all_rows: bool
    # Repetitions in which Kafka takes part where it is started anew for each.
    kafka_starts: int
    # Producing and consuming before Kafka is measured, s.
    warm_up_s: float
    # Time of a load, and of the same before it, s.
    seconds: float
    settle_s: float
    # Of each of the loads that look for the slower broker's maximum, s.
    maximum_s: float
    # Before memory is looked at, s.
    pause_s: float
    # ProducerPerformance.
    records: dict
    # In a topic that is read.
    fill_records: int
    # In the store at SIGKILL, MB.
    unflushed_mb: int
    connections: int
    # Produced to under load.
    partitions: tuple
    # Created, written to and read once.
    partition_counts: tuple
    # That share one rate.
    producers: tuple
    # Of the group that is rebalanced, and how many of them are restarted in turn; of the group that is idle; groups that commit.
    members: int
    restarts: int
    idle_members: int
    committing: int
    # Transactional producers that write to one partition each, and those that write to 100.
    transactional: tuple
    # Created in one request; partitions that are written to straight after their creation.
    topics: int
    fresh_partitions: int
    # Remembered at once.
    message_ids: int
    # Topics and groups that are watched, and how often each page is asked for.
    observed: tuple
    scrapes: int
    # Of the slower broker's maximum, %.
    tail_shares: tuple


FORMS = {
    "smoke": Form(
        repetitions=1, retries=0, discards=False, all_rows=True, kafka_starts=1, warm_up_s=0, seconds=1, settle_s=0, maximum_s=1, pause_s=0.1,
        records={"D1": 2000, "D2": 1000}, fill_records=2000, unflushed_mb=2, connections=20, partitions=(1, 20), partition_counts=(100,),
        producers=(2,), members=5, restarts=1, idle_members=10, committing=3, transactional=(2, 1), topics=50, fresh_partitions=20, message_ids=5000, observed=(20, 5), scrapes=3, tail_shares=(10,),
    ),
    "short": Form(
        repetitions=3, retries=1, discards=True, all_rows=False, kafka_starts=1, warm_up_s=20, seconds=3, settle_s=0.5, maximum_s=2, pause_s=2,
        records={"D1": 500_000, "D2": 200_000}, fill_records=500_000, unflushed_mb=500, connections=10_000, partitions=(1, 1000),
        partition_counts=(10_000, 100_000), producers=(), members=500, restarts=5, idle_members=1000, committing=200, transactional=(16, 4),
        topics=10_000, fresh_partitions=1000, message_ids=10_000_000, observed=(1000, 100), scrapes=20, tail_shares=(10,),
    ),
    "full": Form(
        repetitions=5, retries=5, discards=True, all_rows=True, kafka_starts=5, warm_up_s=60, seconds=60, settle_s=10, maximum_s=10, pause_s=5,
        records={"D1": 2_000_000, "D2": 1_000_000}, fill_records=5_000_000, unflushed_mb=5000, connections=10_000,
        partitions=(1, 16, 1000, 10_000), partition_counts=(10_000, 100_000), producers=(1, 4, 50, 500), members=500,
        restarts=100, idle_members=1000, committing=200, transactional=(16, 4), topics=10_000, fresh_partitions=1000, message_ids=10_000_000, observed=(1000, 100), scrapes=50,
        tail_shares=(10, 50, 80),
    ),
}
