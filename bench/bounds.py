"""The physical bound of a figure, out of the limits measured in the same run, and the term that limits most.

Each answers (bound in the figure's unit, term). A flat log on this machine could not do better; see `einmal bench limits`.
"""
from forms import RECORD_BYTES


def largest(terms):
    return sum(terms.values()), max(terms, key=terms.get)


def produce_cpu(limits, _):
    """CPU-s/GB: each byte received, checked, and copied to the page cache once."""
    return largest({
        "loopback receive": limits["loopback_receive_64_kib"]["cpu_s_per_gb"],
        "CRC-32C": limits["crc32c"]["cpu_s_per_gb"],
        "write of new pages": limits["write_new_pages"]["cpu_s_per_gb"],
    })


def consume_cpu(limits, _):
    """CPU-s/GB: each byte sent."""
    return limits["loopback_send_64_kib"]["cpu_s_per_gb"], "loopback send"


def request_cpu(limits, durability):
    """µs of CPU: one request read and answered, and synced in D2."""
    terms = {"wake-up and loopback": limits["reply_1_in_flight"]["cpu_us"]}
    if durability == "D2":
        terms["fdatasync"] = limits["fdatasync_4_kib"]["cpu_us"]
    return largest(terms)


def latency_p99(limits, durability):
    """ms: one request and its reply, and the sync in D2."""
    terms = {"wake-ups and loopback": 1e3 / limits["request_1_in_flight"]["per_s"]}
    if durability == "D2":
        terms["fdatasync"] = limits["fdatasync_4_kib"]["p99_us"] / 1e3
    return largest(terms)


def record_rate(limits, durability):
    """Records of 1 KiB a second: one core for the broker, or the disk synced a MiB at a time."""
    terms = {"CPU, " + produce_cpu(limits, durability)[1]: 1 / produce_cpu(limits, durability)[0]}
    if durability == "D2":
        terms["fdatasync of 1 MiB"] = limits["fdatasync_1024_kib"]["gb_per_s"]
    term = min(terms, key=terms.get)
    return terms[term] * 1e9 / RECORD_BYTES, term


BOUNDS = {each.__name__: each for each in (produce_cpu, consume_cpu, request_cpu, latency_p99, record_rate)}
