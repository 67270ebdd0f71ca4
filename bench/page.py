"""The result: JSON for programs, and a page with a table and plots for people."""
import dataclasses
import json
from pathlib import Path

import plots
from brokers import reference_kafka
from figures import median


CORES_IN_WORDS = {
    "shared": "Client and broker share the cores, the client at nice +5.",
    "split": "The broker has one core, the client another.",
}


def stem(facts):
    """How the names of a result's files begin."""
    words = [facts["date"], facts["commit"].rstrip("+")]
    words += [facts["form"]] if facts["form"] != "short" else []
    words += [facts["mode"]] if facts["mode"] != "shared" else []
    return "-".join(words)


def write(out, facts, form, session):
    """Writes `<date>-<commit>.{json,md}` and the plots; returns the page."""
    out.mkdir(parents=True, exist_ok=True)
    name_start = stem(facts)
    result = {
        "machine": facts,
        "form": dataclasses.asdict(form),
        "limits": session.limits,
        "calibration": session.calibration,
        "cold_kafka": session.cold,
        "slower_rates": session.rates,
        "rows": [dataclasses.asdict(row) for row in session.rows],
        "latencies": session.latencies,
    }
    (out / f"{name_start}.json").write_text(json.dumps(result, indent=1) + "\n")
    # Whole and small: one measured latency is 1 µs to 60 s at three significant digits.
    (out / f"{name_start}-histograms.json").write_text(json.dumps(session.histograms, separators=(",", ":")) + "\n")
    pictures = []
    for name, picture in plots.all_of(session.rows, session.latencies).items():
        (out / f"{name_start}-{name}.svg").write_text(picture)
        pictures.append(f"![{name.replace('-', ' ')}]({name_start}-{name}.svg)")
    parts = [head(facts, form, session), table(session.rows), missed(session.rows), *pictures, limits(session.limits), notes(session)]
    text = "\n\n".join(part for part in parts if part) + "\n"
    (out / f"{name_start}.md").write_text(text)
    return text


def head(facts, form, session):
    lines = [
        f"Measured {facts['date']} at commit {facts['commit']} ({facts['form']} form, {facts['minutes']} minutes): {facts['einmal']} beside Apache Kafka "
        f"4.3.1 on {facts['java']} (KRaft, one node, heap 1 GiB, stock settings of the log but for D2's{script()}).",
        f"{facts['cores']} cores ({facts['cpu']}), {facts['memory_gib']} GiB, Linux {facts['kernel']}, {facts['file_system']}; {facts['memory']}. " + CORES_IN_WORDS[facts["mode"]],
        f"Medians with their range, {form.repetitions} interleaved repetitions. A ratio is einmal ÷ Kafka, with the range of its repetitions; in "
        "parentheses where that range includes 1 or stands on fewer than three repetitions: such a row claims nothing. % of bound: how near einmal "
        "comes to what this machine could do, and what limits it there. Client alone: the same load on a server that only answers.",
        f"einmal has an empty data directory in each repetition; Kafka is warm (at least {form.warm_up_s} s of producing and consuming before its first row, and until two rounds need the same CPU within 10 %) "
        "and has an empty directory per class and a new topic in each repetition. While einmal is measured the warm Kafka is idle beside it, "
        "while Kafka is measured einmal does not run.",
    ]
    null = session.calibration
    lines.append(
        f"`einmal bench` against a server that only answers, batches of one record: {null['ceiling_records_per_s']:,.0f} records/s at "
        f"{null['client_cpu_us_per_record']:.2f} µs of its own CPU each; one in flight p50 {null['floor_p50_us']} µs, p99 {null['floor_p99_us']} µs."
    )
    for durability, cold in session.cold.items():
        lines.append(
            f"Kafka cold, its first {cold['records']:,} records in {durability}: {cold['records_per_s']:,.0f} records/s, {cold['cpu_s_per_gb']:.1f} CPU-s/GB."
        )
    return "\n".join(lines)


def script():
    """What the script that runs Kafka sets beside."""
    return "" if Path(reference_kafka() or "").name == "kafka-home" else "; with the authorizer and a second, SASL listener of the script that runs it"


def number(value):
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def spread(values):
    if not values:
        return "–"
    if len(values) == 1:
        return number(values[0])
    return f"{number(median(values))} ({number(min(values))}–{number(max(values))})"


def ratio(row):
    if not row.ratio:
        return "–"
    middle, low, high = row.ratio
    words = f"{middle:.3g} [{low:.3g}–{high:.3g}]"
    return words if row.claim else f"({words})"


def goal(row):
    if row.goal is None:
        return "–"
    verdict = {True: "reached", False: "**missed**", None: "not measured"}[row.reached]
    if row.reached is not None and not row.settled:
        verdict += " in the median"
    if row.disturbed:
        verdict += ", on a disturbed machine"
    return f"{row.goal}: {verdict}"


def bound(row):
    return "–" if row.bound_fraction is None else f"{row.bound_fraction:.1%} ({row.bound_term})"


def discarded(row):
    return f"{row.discarded}, {row.disturbed} of them used" if row.disturbed else str(row.discarded)


def table(rows):
    lines = ["| | What | Class, mode | einmal | Kafka | einmal ÷ Kafka | Goal | % of bound | Client alone | Discarded |", "|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        lines.append(
            f"| {row.workload} | {row.what}, {row.unit} | {row.durability}, {row.mode} | {spread(row.einmal)} | {spread(row.kafka)} "
            f"| {ratio(row)} | {goal(row)} | {bound(row)} | {number(row.client_alone)} | {discarded(row)} |"
        )
    return "\n".join(lines)


def missed(rows):
    """The goals that were missed, with reasons; empty if there are none."""
    told = [f"- **{row.workload}, {row.durability}, {row.what.split(': ')[-1]}**: {row.reason}" for row in rows if row.reached is False and row.reason]
    return "\n".join(["Missed, and why:", "", *told]) if told else ""


def limits(found):
    lines = ["Limits of this machine, measured in the same run by `einmal bench limits`:", "", "| Limit | GB/s | CPU-s/GB | per s | CPU µs | p50 µs | p99 µs |"]
    lines.append("|---|--:|--:|--:|--:|--:|--:|")
    for name, figures in found.items():
        cells = [number(figures.get(key)) for key in ("gb_per_s", "cpu_s_per_gb", "per_s", "cpu_us", "p50_us", "p99_us")]
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def notes(session):
    told = dict.fromkeys(f"- {row.workload} {row.durability}: {note}" for row in session.rows for note in row.notes)
    fixed = [
        "CPU is user and system time of the broker's process alone; work that the kernel does for it in threads of its own (write-back) is in neither "
        "column. Client CPU is of all client processes, their start included.",
        "Syncs are counted by einmal's own metric, of Kafka they are not known; device flushes are counted by the kernel, for both. Bytes to the device "
        "include everything until a `sync` after the load.",
    ]
    return "\n".join(fixed + ([""] + list(told) if told else []))
