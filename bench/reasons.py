"""Why goals were missed, as far as was measured: printed beside a row that misses its goal. Figures are of the run at commit 0648b61
(2 cores, nothing discarded) unless it says otherwise; one that no longer holds goes."""

# {(row, key of the figure, class): reason}
REASONS = {
    ("P2", "cpu_s_per_gb", "D1"): "by thread (`perf`, an earlier run), RocksDB's log and memtable take 0.7 CPU-s/GB and writing memtables out 0.65, together more than "
    "0.3 × Kafka (1.04), before network and checks: out of reach while one write of RocksDB holds records and sequences.",
    ("P2", "cpu_s_per_gb", "D2"): "0.1 × Kafka (1.76 CPU-s/GB) is less than einmal needs in D1, without any sync (2.44).",
    ("P5-2000", "cpu_us", "D1"): "0.3 × Kafka is 37 µs. Waking up and answering alone takes 22 of them (limits); decoding, checks and the write into RocksDB's log and "
    "memtable take 28, all on the thread of the connection (einmal alone, by thread), with 1.1 context switches a request.",
    ("P5-2000", "cpu_us", "D2"): "0.3 × Kafka is 70 µs. Each request is synced by itself at this rate, and one fdatasync of 4 KiB (65 µs of CPU) and one wake-up (22) "
    "alone are more (limits).",
    ("P5-100", "p99_ms", "D1"): "the goal was set by a Kafka of 35 ms; Kafka's p99 is 1.25 ms here, and 0.2 × that (0.25 ms) leaves 0.05 ms beside what the client has alone, "
    "against a server that only answers (0.2 ms).",
    ("P5-100", "p99_ms", "D2"): "the goal was set by a Kafka of 51 ms; Kafka's p99 is 1.63 ms here, and 0.2 × that (0.33 ms) is less than what the client has alone (0.2 ms) "
    "and the disk's fdatasync (p99 0.25 ms) together.",
    ("P5", "p99_ms", "D1"): "0.2 × Kafka (0.04 ms) is less than the client has alone, against a server that only answers (0.075 ms).",
    ("P5", "p99_ms", "D2"): "0.2 × Kafka (0.11 ms) is less than the median of the disk's own fdatasync (0.135 ms).",
    ("C2", "cpu_s_per_gb", "D1"): "Kafka hands pages of its files to the socket, without a copy in between. Half of what it takes (0.18 CPU-s/GB) is less than half of what "
    "copying the bytes to a socket alone takes (0.43, limits). einmal reads blob files of RocksDB first; of its CPU (`perf`, an earlier run) 21 % was the copy to "
    "the socket, 9 % that out of the page cache, 11 % copies in the process, 4 % checksums, so that without the last two it would still be above Kafka.",
    ("T3", "cpu_ratio", "D1"): "a Fetch of committed records takes 21,184 instructions, one of all records 21,326 (benches/instructions.json), so that the reading costs no "
    "more. The three repetitions of this row have 1.02, 1.07 and 1.13, those of the run at ee0632c 1.02 to 1.04; whether waiting for records costs more was not measured.",
    ("M1", "cpu_us", "D1"): "a record's id takes what produce_ids has more than produce_ids_off in benches/instructions.json, two thirds of it on the connection, "
    "which reads it.",
}
UNKNOWN = "why is not known."


def reason(workload, key, durability):
    return REASONS.get((workload, key, durability), UNKNOWN)
