"""Why goals were missed, as far as was measured: printed beside a row that misses its goal. Figures are of the run at commit 1fcdf90
(2 cores) unless it says otherwise; one that no longer holds goes."""

# {(row, key of the figure, class): reason}
REASONS = {
    ("P2", "cpu_s_per_gb", "D1"): "by thread (`perf`, an earlier run), RocksDB's log and memtable take 0.7 CPU-s/GB and writing memtables out 0.65, which together are more than "
    "0.3 × Kafka, before network and checks (0.8): out of reach while one write of RocksDB holds records and sequences.",
    ("P2", "cpu_s_per_gb", "D2"): "0.1 × Kafka (2.1 CPU-s/GB) is less than einmal needs in D1, without any sync (2.6).",
    ("P5-2000", "cpu_us", "D1"): "waking up and answering alone takes 22 µs of CPU (limits), 0.18 × Kafka; beside it stands the way to the writer's thread and "
    "back, which at this rate sleeps before each request. How much of the rest that is was not measured.",
    ("P5-2000", "cpu_us", "D2"): "each request is synced by itself at this rate, and one fdatasync of 4 KiB and one wake-up alone take 80 µs of CPU (limits), "
    "0.34 × Kafka.",
    ("P5-100", "p99_ms", "D1"): "the goal was set by a Kafka of 35 ms. Kafka's p99 is 1.1 ms here, and 0.2 × that is less than the client has alone, against a "
    "server that only answers (0.27 ms).",
    ("P5-100", "p99_ms", "D2"): "the goal was set by a Kafka of 51 ms. Kafka's p99 is about 1.9 ms here, and 0.2 × that is less than what the client has alone "
    "(0.27 ms) and the disk's fdatasync (p99 0.22 ms) together.",
    ("P5", "p99_ms", "D1"): "0.2 × Kafka (0.06 ms) is less than the client has alone, against a server that only answers (0.12 ms).",
    ("P5", "p99_ms", "D2"): "0.2 × Kafka (0.14 ms) is less than the p99 of the disk's own fdatasync (0.22 ms).",
    ("C2", "cpu_s_per_gb", "D1"): "Kafka hands pages of its files to the socket, and sending alone costs 0.34 CPU-s/GB (limits), nearly all of Kafka's 0.37: "
    "0.5 × that nobody reaches who sends the bytes. einmal reads blob files of RocksDB first; of its CPU (`perf`) 21 % is the copy to the socket, 9 % that out of the "
    "page cache, 11 % copies in the process, 4 % checksums, so that without the last two it would still be above Kafka.",
    ("G4", "cpu_percent", "D2"): "333 heartbeats a second at 66 µs each: as much as a request of P5-2000 in D1, most of it the kernel's. Without Kafka beside it "
    "two repetitions had 1.8 and 2.6 %.",
    ("T2", "p99_ms", "D2"): "p99 is the slowest commit but one of a repetition's 120. A commit is one fdatasync (p99 0.22 ms) and the wake-ups of the request (together 0.27 ms); where "
    "the rest comes from was not measured.",
}
UNKNOWN = "why is not known."


def reason(workload, key, durability):
    return REASONS.get((workload, key, durability), UNKNOWN)
