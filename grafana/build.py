#!/usr/bin/env python3
"""Writes dashboards/*.json from the panels below: build.py, or build.py --check, which fails if a file is not as it would be
written. Positions, ids and what all panels have in common come from here, so that a panel is what it shows."""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
BY = 'job=~"$job",instance=~"$instance"'
TOPIC = BY + ',topic=~"$topic"'
GROUP = BY + ',group=~"$group"'
API = BY + ',api=~"$api"'
APPENDED = BY + ',outcome="appended"'
ACKS_ALL = BY + ',acks="all"'
PRODUCE_PHASE = BY + ',api="Produce"'
FETCH_PHASE = BY + ',api="Fetch"'
LOUD = BY + ',level=~"error|warn"'
DATASOURCE = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"


def rate(metric, labels=BY):
    return f"rate({metric}{{{labels}}}[$__rate_interval])"


def quantile(q, metric, labels=BY, by=""):
    return f"histogram_quantile({q}, sum by (le{by}) ({rate(metric + '_bucket', labels)}))"


def steps(*levels):
    """Green below the first level; each level is (value, color)."""
    return [{"color": GREEN, "value": None}] + [{"color": color, "value": value} for value, color in levels]


def panel(kind, title, targets, unit, description, width, height, options, defaults, overrides=()):
    if isinstance(targets, str):
        targets = [(targets, "")]
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "gridPos": {"w": width, "h": height},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": expr,
                "legendFormat": legend or "__auto",
                "range": kind not in ("table", "bargauge"),
                "instant": kind in ("table", "bargauge"),
                "format": {"table": "table", "heatmap": "heatmap"}.get(kind, "time_series"),
            }
            for index, (expr, legend) in enumerate(targets)
        ],
        "options": options,
        "fieldConfig": {"defaults": {"unit": unit, **defaults}, "overrides": list(overrides)},
    }


def stat(title, expr, unit, description, thresholds=None, width=3, text=None, decimals=None):
    defaults = {"thresholds": {"mode": "absolute", "steps": thresholds or [{"color": BLUE, "value": None}]}, "color": {"mode": "thresholds"}}
    if text:
        defaults["mappings"] = [{"type": "value", "options": {str(value): {"text": word} for value, word in text.items()}}]
    if decimals is not None:
        defaults["decimals"] = decimals
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "textMode": "auto",
    }
    return panel("stat", title, expr, unit, description, width, 4, options, defaults)


def info(title, expr, legend, description, width=3):
    """A stat that shows the name of the series, not its value."""
    made = stat(title, expr, "none", description, width=width)
    made["targets"][0]["legendFormat"] = legend
    made["options"] |= {"textMode": "name", "graphMode": "none"}
    return made


def series(title, targets, unit, description, width=8, height=8, stack=False, bars=False, thresholds=None):
    custom = {
        "drawStyle": "bars" if bars else "line",
        "lineWidth": 1,
        "fillOpacity": 25 if stack or bars else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
    }
    defaults = {"custom": custom, "color": {"mode": "palette-classic"}, "min": 0}
    if thresholds:
        custom["thresholdsStyle"] = {"mode": "line"}
        defaults["thresholds"] = {"mode": "absolute", "steps": thresholds}
    options = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}, "tooltip": {"mode": "multi", "sort": "desc"}}
    return panel("timeseries", title, targets, unit, description, width, height, options, defaults)


def heatmap(title, metric, labels, unit, description, width=12, height=8):
    expr = f"sum by (le) (increase({metric}_bucket{{{labels}}}[$__rate_interval]))"
    options = {
        "calculate": False,
        "yAxis": {"unit": unit, "axisPlacement": "left"},
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "reverse": False},
        "cellGap": 1,
        "tooltip": {"mode": "single", "yHistogram": False},
        "legend": {"show": True},
    }
    return panel("heatmap", title, [(expr, "{{le}}")], unit, description, width, height, options, {})


def table(title, expr, columns, unit, description, width=12, height=8):
    """Columns: label -> heading; the value's heading under "Value"."""
    named = [
        {"matcher": {"id": "byName", "options": label}, "properties": [{"id": "displayName", "value": heading}]}
        for label, heading in columns.items()
    ]
    hidden = [
        {"matcher": {"id": "byRegexp", "options": "Time|__name__|job|instance"}, "properties": [{"id": "custom.hidden", "value": True}]}
    ]
    return panel(
        "table", title, expr, unit, description, width, height, {"showHeader": True, "cellHeight": "sm"}, {"custom": {"align": "auto"}}, named + hidden
    )


def bars(title, targets, unit, description, width=8, height=8):
    options = {
        "displayMode": "gradient",
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showUnfilled": True,
    }
    return panel(
        "bargauge", title, targets, unit, description, width, height, options, {"min": 0, "color": {"mode": "continuous-BlPu"}}
    )


def text(content, width=24, height=6):
    return {
        "type": "text",
        "title": "How to read this",
        "description": "What the panels of this board say together.",
        "gridPos": {"w": width, "h": height},
        "options": {"mode": "markdown", "content": content},
    }


def variable(name, query, label):
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


VARIABLES = {
    "job": variable("job", "label_values(einmal_build_info, job)", "Job"),
    "instance": variable("instance", 'label_values(einmal_build_info{job=~"$job"}, instance)', "Instance"),
    "topic": variable("topic", f"label_values(einmal_topic_records_in_total{{{BY}}}, topic)", "Topic"),
    "group": variable("group", f"label_values(einmal_group_lag_records{{{BY}}}, group)", "Group"),
    "api": variable("api", f"label_values(einmal_requests_total{{{BY}}}, api)", "API"),
}


def board(uid, title, description, variables, rows):
    panels, y, number = [], 0, 1
    for heading, of_row in rows:
        panels.append({"type": "row", "title": heading, "collapsed": False, "panels": [], "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}})
        y += 1
        x = height = 0
        for made in of_row:
            grid = made["gridPos"]
            if x + grid["w"] > 24:
                y, x, height = y + height, 0, 0
            grid["x"], grid["y"] = x, y
            x, height = x + grid["w"], max(height, grid["h"])
            panels.append(made)
        y += height
    for made in panels:
        made["id"] = number
        number += 1
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["einmal"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"},
        "links": [{"type": "dashboards", "title": "einmal", "tags": ["einmal"], "asDropdown": False, "keepTime": True, "includeVars": True}],
        "annotations": {
            "list": [
                {
                    "name": "Restarts",
                    "datasource": DATASOURCE,
                    "enable": True,
                    "iconColor": "orange",
                    "expr": f"changes(process_start_time_seconds{{{BY}}}[$__interval]) > 0",
                    "titleFormat": "restart of {{instance}}",
                    "step": "30s",
                }
            ]
        },
        "templating": {
            "list": [
                {"name": "DS_PROMETHEUS", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {"text": "Prometheus", "value": "prometheus"}},
                *[VARIABLES[name] for name in variables],
            ]
        },
        "panels": panels,
    }


def total(metric, labels=BY):
    return f"sum({rate(metric, labels)})"


def phases(labels):
    """The mean time of each phase, which together are the mean of the whole."""
    spent, count = (f"sum by (phase) ({rate(f'einmal_request_phase_seconds_{of}', labels)})" for of in ("sum", "count"))
    return [(f"{spent} / ({count} > 0)", "{{phase}}")]


def ratio(part, whole):
    """0 of nothing is 0, not the absence of an answer."""
    return f"({part}) / (({whole}) > 0) or vector(0)"


OVERVIEW = board(
    "einmal-overview",
    "einmal / Overview",
    "Is it fine, and if not, where to look.",
    ["job", "instance", "topic", "api"],
    [
        (
            "Now",
            [
                stat("Up", f"min(up{{{BY}}})", "none", "Whether the last scrape worked. 0: see the broker's log and its exit code.", [{"color": RED, "value": None}, {"color": GREEN, "value": 1}], text={0: "down", 1: "up"}),
                info("Version", f"einmal_build_info{{{BY}}}", "{{version}}", "Which build runs."),
                stat("Uptime", f"time() - max(process_start_time_seconds{{{BY}}})", "s", "Time since the start. Small although nobody restarted it: it ended by itself, the log says why."),
                stat("Topics", f"sum(einmal_topics{{{BY}}})", "none", "Topics, internal ones included. A steady rise: somebody creates topics and leaves them."),
                stat("Partitions", f"sum(einmal_partitions{{{BY}}})", "none", "Partitions of all topics; einmal.partitions.max is the limit."),
                stat("Records in", total("einmal_topic_records_in_total"), "cps", "Records appended per second. Suddenly 0: producers cannot connect, or are refused."),
                stat("Bytes in", total("einmal_topic_bytes_in_total"), "Bps", "Bytes of appended batches per second, as compressed by the producers."),
                stat("Bytes out", total("einmal_topic_bytes_out_total"), "Bps", "Bytes of fetched batches per second. Below bytes in: consumers fall behind."),
                stat("Produce p99", quantile(0.99, "einmal_request_duration_seconds", BY + ',api="Produce"'), "s", "99 of 100 produce requests are answered within this time, the fsync included. High: see Storage, syncs.", steps((0.1, YELLOW), (0.5, RED))),
                stat("Errors", f"{total('einmal_request_errors_total')} or vector(0)", "cps", "Error codes answered per second. Some are part of the protocol (rebalances); the panel below tells which.", steps((1, YELLOW), (50, RED))),
                stat("Open transactions", f"sum(einmal_txn_open{{{BY}}})", "none", "Transactions that are open now. Rising without an end: producers begin and do not end."),
                stat("Oldest transaction", f"max(einmal_txn_oldest_open_age_seconds{{{BY}}})", "s", "What read_committed consumers may be waiting for. High: `einmal txn list`, then Exactly-once.", steps((60, YELLOW), (900, RED))),
                stat("Largest lag", f"max(einmal_group_lag_seconds{{{BY}}}) or vector(0)", "s", "Age of the oldest record that a group has not committed. High: Topics and groups tells which.", steps((60, YELLOW), (300, RED))),
                stat("Disk free", f"min(einmal_storage_disk_free_bytes{{{BY}}} / einmal_storage_disk_total_bytes{{{BY}}})", "percentunit", "Free space of the data directory's file system. Near 0: produce requests are refused.", [{"color": RED, "value": None}, {"color": YELLOW, "value": 0.1}, {"color": GREEN, "value": 0.2}]),
                stat("Connections", f"sum(einmal_connections{{{BY}}})", "none", "Open connections over all listeners; max.connections is the limit."),
                stat("Non-idempotent", ratio(total("einmal_producer_nonidempotent_batches_total"), total("einmal_topic_batches_in_total")), "percentunit", "Share of batches that a retry may store twice. Set enable.idempotence in those producers.", steps((0.01, YELLOW))),
            ],
        ),
        (
            "Traffic",
            [
                series("Bytes in by topic", [(f"topk(10, sum by (topic) ({rate('einmal_topic_bytes_in_total', TOPIC)}))", "{{topic}}")], "Bps", "The ten topics with most bytes written. A new name at the top: a new producer, or one that loops.", stack=True),
                series("Bytes out by topic", [(f"topk(10, sum by (topic) ({rate('einmal_topic_bytes_out_total', TOPIC)}))", "{{topic}}")], "Bps", "The ten topics with most bytes read. Far above bytes in: many groups, or one that reads from the start.", stack=True),
                series("Records in by topic", [(f"topk(10, sum by (topic) ({rate('einmal_topic_records_in_total', TOPIC)}))", "{{topic}}")], "cps", "Records appended.", stack=True),
                series("Records and bytes per batch", [(ratio(total("einmal_topic_records_in_total"), total("einmal_topic_batches_in_total")), "records")], "none", "Records per batch. Near 1: producers send each record by itself; raise linger.ms and batch.size.", 8),
                series("Requests by API", [(f"sum by (api) ({rate('einmal_requests_total', API)})", "{{api}}")], "reqps", "Requests answered. Metadata or FindCoordinator at the top: clients that cannot reach what they are told.", 8, stack=True),
                series("Produce requests by acks", [(f"sum by (acks) ({rate('einmal_produce_acks_total')})", "acks={{acks}}")], "reqps", "Which promise producers ask for. acks=1 and 0 may lose records in a power cut.", 8, stack=True),
            ],
        ),
        (
            "Latency",
            [
                series("Produce", [(quantile(q, "einmal_request_duration_seconds", BY + ',api="Produce"'), name) for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))], "s", "Time from a parsed produce request to its answer. The floor is one fsync.", 8),
                heatmap("Produce, all of them", "einmal_request_duration_seconds", BY + ',api="Produce"', "s", "Two bands: some requests wait for something that others do not, such as a slow sync or a compaction.", 8),
                series("p99 by API", [(quantile(0.99, "einmal_request_duration_seconds", BY + ',api=~"$api",api!~"Fetch|JoinGroup|SyncGroup"', ", api") + " > 0", "{{api}}")], "s", "Without those APIs that wait on purpose. One line high: that API; all lines high: the machine.", 8),
                series("Phases of Produce", phases(PRODUCE_PHASE), "s", "Mean time of a produce request by what it is spent in. wait is the writer and its fsync; queue is a client with many requests in flight; handle is this machine's CPU; send is a slow network or client, or an answer that waits for those before it.", 8, stack=True),
                series("Phases of Fetch", phases(FETCH_PHASE), "s", "The same of fetches. wait is mostly for records that are not there yet, up to fetch.max.wait.ms: no fault.", 8, stack=True),
                series("Fetch, without waiting", [(quantile(q, "einmal_request_phase_seconds", FETCH_PHASE + ',phase="handle"'), name) for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))], "s", "Time that a thread works on a fetch. Rising: large answers, or the CPU is short.", 8),
                series("Under way", [(f"sum(einmal_requests_in_flight{{{API}}})", "requests"), (f"sum(einmal_fetch_waiting{{{BY}}})", "fetches that wait for records"), (f"sum(einmal_fetch_sessions{{{BY}}})", "fetch sessions")], "none", "Requests parsed and not yet answered. Rising while few fetches wait: something holds them up, see the phases.", 8),
                series("Size of requests and answers", [(quantile(0.99, "einmal_request_size_bytes", API, ", api"), "{{api}} request p99"), (quantile(0.99, "einmal_response_size_bytes", API, ", api"), "{{api}} answer p99")], "bytes", "99 of 100 are no larger, as near as buckets tell. Produce near 1 KiB: each batch has hardly any records.", 8),
                series("Waits for memory", [(f"sum by (size) ({rate('einmal_request_memory_waits_total')})", "{{size}} requests"), (total("einmal_fetch_memory_waits_total"), "fetches")], "cps", "Requests and fetches that had to wait until others gave memory back (queued.max.request.bytes, einmal.fetch.memory.bytes). Often: clients are held up; allow more, or fewer connections.", 8),
            ],
        ),
        (
            "Errors",
            [
                series("Error codes", [(f"sum by (error) ({rate('einmal_request_errors_total')})", "{{error}}")], "cps", "Codes answered, by Kafka's names. NOT_LEADER and the like do not occur here; KAFKA_STORAGE_ERROR: see Storage.", 8),
                series("Refused by topic", [(f"sum by (topic) ({rate('einmal_topic_produce_failed_total', TOPIC)}) > 0 or vector(0)", "produce {{topic}}"), (f"sum by (topic) ({rate('einmal_topic_fetch_failed_total', TOPIC)}) > 0 or vector(0)", "fetch {{topic}}")], "cps", "Batches and fetches refused, by topic.", 8),
                series("Broken frames", [(f"sum by (reason) ({rate('einmal_protocol_errors_total')})", "{{reason}}")], "cps", "Connections that ended because of what was sent. tls_on_plaintext, http_on_kafka_port: a client has the wrong port.", 8),
                series("Log lines", [(f"sum by (level) ({rate('einmal_log_messages_total', LOUD)})", "{{level}}")], "cps", "Errors need somebody to act; warnings are odd.", 8, bars=True),
                series("Panics", [(f"sum by (instance) (increase(einmal_panics_total{{{BY}}}[$__rate_interval]))", "{{instance}}"), (f"sum by (thread) (einmal_engine_thread_panics_total{{{BY}}})", "{{thread}} stands still")], "none", "Defects that were caught. Any: report it with the log line. A thread of the engine does nothing any more until a restart.", 8, bars=True),
                series("Not shown whole", [(f"count(einmal_metrics_folded{{{BY}}}) or vector(0)", "families")], "none", "Families of metrics in which topics, groups or partitions were folded together or left out (einmal.metrics.max.series.per.family, einmal.metrics.level). Any: what these boards say by topic, group or partition is not all.", 8),
            ],
        ),
        (
            "Clients",
            [
                series("Connections", [(f"sum by (listener) (einmal_connections{{{BY}}})", "{{listener}}")], "none", "Open connections by listener.", 8),
                series("Opened and closed", [(f"sum by (listener) ({rate('einmal_connections_opened_total')})", "opened {{listener}}"), (f"sum by (cause) ({rate('einmal_connections_closed_total')})", "closed: {{cause}}")], "cps", "Many openings with few connections: clients that connect for each message.", 8),
                series("Rejected", [(f"sum by (reason) ({rate('einmal_connections_rejected_total')})", "{{reason}}")], "cps", "Refused at accept: max.connections or max.connections.per.ip is reached.", 8),
                table("Software", f"sum by (name, version) (einmal_client_software{{{BY}}}) > 0", {"name": "Client", "version": "Version", "Value": "Connections"}, "none", "What clients say they run. Old versions first, when a client is to be suspected.", 12),
                series("Only bootstrap", [(f"sum by (listener) (increase(einmal_bootstrap_only_connections_total{{{BY}}}[$__rate_interval]))", "{{listener}}")], "none", "Connections that asked for metadata for half a minute and for nothing else. Any, while clients complain: they cannot reach the address that the listener advertises; `einmal doctor` says more.", 12, bars=True),
            ],
        ),
        (
            "Process",
            [
                series("CPU", [(f"rate(process_cpu_seconds_total{{{BY}}}[$__rate_interval])", "all"), (rate("einmal_runtime_busy_seconds_total"), "connections"), (rate("einmal_engine_busy_seconds_total"), "writer")], "percentunit", "Cores in use. The writer is one thread: near 100 % it is what limits.", 8),
                series("Memory", [(f"process_resident_memory_bytes{{{BY}}}", "resident"), (f"einmal_tail_cache_bytes{{{BY}}}", "tail cache"), (f"sum by (instance) (einmal_storage_memtable_bytes{{{BY}}})", "memtables"), (f"sum by (instance) (einmal_storage_block_cache_usage_bytes{{{BY}}})", "block cache")], "bytes", "Resident memory and its largest known parts.", 8),
                series("Waits of ready tasks", [(quantile(q, "einmal_runtime_poll_delay_seconds"), name) for q, name in ((0.5, "p50"), (0.99, "p99"))], "s", "How long a request that could go on waits for a thread. Above some milliseconds: the CPU is short, or something holds the threads.", 8),
                series("Memory of what clients begin", [(f"sum(einmal_fetch_memory_bytes{{{BY}}})", "answers to fetches"), (f"sum(einmal_producer_state_bytes{{{BY}}})", "producers"), (f"sum(einmal_txn_bytes{{{BY}}})", "transactions"), (f"sum(einmal_group_members_bytes{{{BY}}})", "groups")], "bytes", "Each has a limit of its own. A steady rise: clients that are never gone, such as a producer for each message.", 8, stack=True),
                series("Threads and tasks", [(f"process_threads{{{BY}}}", "threads"), (f"einmal_runtime_workers{{{BY}}}", "of these serve connections"), (f"einmal_runtime_tasks{{{BY}}}", "tasks on them")], "none", "Tasks are connections, parked requests and timers; they rise and fall with clients.", 8),
                series("File descriptors", [(f"process_open_fds{{{BY}}}", "open"), (f"process_max_fds{{{BY}}}", "limit")], "none", "At the limit no connection is accepted and no file opened.", 8),
            ],
        ),
    ],
)

EXACTLY_ONCE = board(
    "einmal-exactly-once",
    "einmal / Exactly-once",
    "What counts once, what was dropped as a repetition, and what holds readers back.",
    ["job", "instance", "topic", "group"],
    [
        (
            "Now",
            [
                stat("Idempotent", ratio(f"sum({rate('einmal_producer_batches_total', APPENDED)})", total("einmal_topic_batches_in_total")), "percentunit", "Share of batches that a retry cannot store twice. Below 100 %: somebody produces without enable.idempotence.", [{"color": YELLOW, "value": None}, {"color": GREEN, "value": 0.99}]),
                stat("acks=all", ratio(f"sum({rate('einmal_produce_acks_total', ACKS_ALL)})", total("einmal_produce_acks_total")), "percentunit", "Share of produce requests that are answered only after the fsync.", [{"color": YELLOW, "value": None}, {"color": GREEN, "value": 0.99}]),
                stat("Duplicates dropped", f"sum(increase(einmal_producer_duplicate_records_total{{{BY}}}[$__range]))", "none", "Records that retries brought a second time in the shown range, answered with their first offset and not stored again.", decimals=0),
                stat("Messages known", f"sum(increase(einmal_dedup_duplicates_total{{{BY}}}[$__range]))", "none", "Messages that came again in the shown range, by whomever, and were known by their ids or numbers (message.dedup.mode).", decimals=0),
                stat("Ids forgotten early", f"sum(increase(einmal_dedup_evicted_total{{{BY}}}[$__range]))", "none", "Message ids forgotten before their window was over, for want of room: their messages would be stored again. Has to be 0.", steps((1, RED)), decimals=0),
                stat("Out of order", f"sum(increase(einmal_producer_out_of_order_total{{{BY}}}[$__range]))", "none", "Batches refused because one before them is missing. Any: a producer lost a batch, or has a defect.", steps((1, RED)), decimals=0),
                stat("Fenced", f"sum(increase(einmal_txn_fenced_total{{{BY}}}[$__range]))", "none", "Producers shut out in the shown range. Many: two instances share a transactional.id.", steps((10, YELLOW)), decimals=0),
                stat("Open transactions", f"sum(einmal_txn_open{{{BY}}})", "none", "Open now."),
                stat("Oldest", f"max(einmal_txn_oldest_open_age_seconds{{{BY}}})", "s", "Age of the oldest open transaction: read_committed consumers of its partitions wait for it.", steps((60, YELLOW), (900, RED))),
                stat("Readers stalled", f"max(einmal_lso_stalled_seconds_max{{{BY}}})", "s", "Longest time that a last stable offset below its high watermark has not moved: readers of committed records wait there.", steps((60, YELLOW), (300, RED))),
                stat("Most held back", f"max(einmal_lso_lag_records_max{{{BY}}})", "none", "Records between last stable offset and high watermark of the partition where they are most."),
                stat("Late", f"sum(einmal_partitions_late_txn{{{BY}}})", "none", "Partitions with a transaction that is open longer than any may be, as Kafka counts them. Any: it hangs.", steps((1, RED))),
                stat("Commit p99", quantile(0.99, "einmal_txn_end_duration_seconds", BY + ',result="commit"'), "s", "From EndTxn to its durable end, which producers wait for in commitTransaction.", steps((0.1, YELLOW), (0.5, RED))),
            ],
        ),
        (
            "Idempotent producers",
            [
                series("Batches by outcome", [(f"sum by (outcome) ({rate('einmal_producer_batches_total')})", "{{outcome}}")], "cps", "duplicate: a retry of what is stored. out_of_order, unknown_producer: a gap in a producer's sequence. fenced: an older instance. txn_state_rejected: a batch outside its transaction.", 12),
                series("Duplicate records by topic", [(f"topk(10, sum by (topic) (increase(einmal_producer_duplicate_records_total{{{TOPIC}}}[$__rate_interval])))", "{{topic}}")], "none", "Records that were not stored twice. Many: answers get lost or come too late; see request.timeout.ms and the network.", 12, bars=True, stack=True),
                heatmap("Age of the original when its retry arrives", "einmal_producer_duplicate_age_seconds", BY, "s", "Beyond five batches per producer and partition a retry is refused, not recognised. Old ones: requests time out long after they were stored.", 8),
                series("Producers", [(f"sum by (kind) (einmal_producer_ids{{{BY}}})", "{{kind}}"), (f"sum(increase(einmal_producer_ids_allocated_total{{{BY}}}[$__rate_interval]))", "new ids"), (f"sum(increase(einmal_producer_ids_expired_total{{{BY}}}[$__rate_interval]))", "forgotten")], "none", "Producer states kept, and transactional ids. A steep rise of new ids: a producer per message. forgotten: after producer.id.expiration.ms.", 8),
                series("Without idempotence", [(total("einmal_producer_nonidempotent_batches_total"), "batches")], "cps", "Batches that a retry may store twice.", 8),
            ],
        ),
        (
            "Message ids",
            [
                series("Messages known, by what", [(f"sum by (reason) ({rate('einmal_dedup_duplicates_total', TOPIC)})", "{{reason}}")], "cps", "open: by an id in memory. sealed: by one in a file. batch: by an earlier record of the same batch. pending: by a record of its own open transaction. sequence: by its sender's number. Who sends them: `einmal dedup senders`, and the page of the admin port.", 8, stack=True),
                series("Messages known, by topic", [(f"topk(10, sum by (topic) ({rate('einmal_dedup_duplicates_total', TOPIC)}))", "{{topic}}")], "cps", "Messages that came again and were not stored again, or marked, or refused.", 8, stack=True),
                series("Forgotten early", [(f"topk(10, sum by (topic) (increase(einmal_dedup_evicted_total{{{TOPIC}}}[$__rate_interval])))", "{{topic}}")], "none", "Ids forgotten before their window was over. Any: raise message.dedup.window.max.ids or einmal.dedup.memory.bytes, or have the topic throttle (message.dedup.overflow).", 8, bars=True, stack=True),
                series("Ids remembered", [(f"topk(10, sum by (topic) (einmal_dedup_live_ids{{{TOPIC}}}))", "{{topic}}")], "none", "Against message.dedup.window.max.ids. In mode sequence: names of senders.", 8),
                series("Age of the oldest id", [(f"topk(10, max by (topic) (einmal_dedup_oldest_id_age_seconds{{{TOPIC}}}))", "{{topic}}")], "s", "Rises to message.dedup.window.ms and a bit more, and stays there. Below it in a topic that is old enough: ids were forgotten early.", 8),
                series("Room", [(f"sum by (instance) (einmal_dedup_index_bytes{{{BY}}})", "memory"), (f"sum by (instance) (einmal_dedup_sealed_bytes{{{BY}}})", "files")], "bytes", "memory is bounded by einmal.dedup.memory.bytes: beyond it ids are forgotten early, or refused.", 8),
                series("Looked at", [(f"sum({rate('einmal_dedup_checked_records_total', TOPIC)})", "checked"), (f"sum({rate('einmal_dedup_rejected_total', TOPIC)})", "batches refused"), (f"sum({rate('einmal_dedup_pending_conflicts_total', TOPIC)})", "batches that wait for a transaction"), (f"sum({rate('einmal_dedup_throttled_total', TOPIC)})", "batches that wait for room among the ids"), (f"sum({rate('einmal_dedup_audit_missed_total', TOPIC)})", "records not told to their audit topic")], "cps", "Records that were looked up, and batches that were not taken: INVALID_RECORD says why, and who waits for a transaction, or for room among the ids, tries again.", 8),
                series("Time", [(quantile(0.99, "einmal_dedup_scan_seconds"), "reading the ids of a batch p99"), (quantile(0.99, "einmal_dedup_seal_seconds"), "writing a file p99"), (f"max(einmal_dedup_recovery_seconds{{{BY}}})", "bringing them back at the start")], "s", "Ids are read on the connection, beside the writer. The last start brought the rest back before it took clients.", 8),
                series("Files", [(f"sum by (instance) (einmal_dedup_slices{{{BY}}})", "{{instance}}")], "none", "Of ids that have left memory: about eight for each window that is long enough (einmal.dedup.slices.per.window).", 8),
                series("Batches with known messages", [(f"sum({rate('einmal_dedup_suppressed_batches_total', TOPIC)})", "not stored"), (f"sum({rate('einmal_dedup_rewritten_batches_total', TOPIC)})", "stored in part or marked"), (f"sum({rate('einmal_dedup_holes_records_total', TOPIC)})", "records left out of these")], "cps", "not stored: each of their messages was known. stored in part: consumers see gaps between offsets there.", 12),
                series("Stored unchecked", [(f"sum({rate('einmal_dedup_missing_id_total', TOPIC)})", "without an id"), (f"sum({rate('einmal_dedup_bypassed_total', TOPIC)})", "of principals that are not checked")], "cps", "Records that may be repetitions. Without an id: message.dedup.missing.id=reject refuses them. Not checked: message.dedup.bypass.principals names who sends them.", 12),
            ],
        ),
        (
            "Transactions",
            [
                series("Transactional ids by state", [(f"sum by (state) (einmal_txn_states{{{BY}}})", "{{state}}")], "none", "Prepare states last for one write; longer only for transactions too large for one.", 8, stack=True),
                series("Ended", [(f"sum by (result, initiator) ({rate('einmal_txn_completed_total')})", "{{result}} by {{initiator}}")], "cps", "abort by timeout: producers that died or are slower than transaction.timeout.ms. abort by fencing: an instance took over.", 8, stack=True),
                series("Time", [(quantile(0.5, "einmal_txn_duration_seconds"), "open p50"), (quantile(0.99, "einmal_txn_duration_seconds"), "open p99"), (quantile(0.99, "einmal_txn_end_duration_seconds"), "end p99")], "s", "open: from the first record or partition to the decision. end: from EndTxn to its durable end.", 8),
                series("Shut out", [(f"sum by (reason) ({rate('einmal_txn_fenced_total')})", "{{reason}}"), (f"sum by (reason) ({rate('einmal_txn_verification_failed_total')})", "not verified: {{reason}}"), (total("einmal_txn_late_requests_total"), "late")], "cps", "newer_epoch: a zombie tried. not verified: a batch that is not of the transaction that it claims (KIP-890). late: on a connection that its producer had left for a younger one.", 8),
                series("Offsets in transactions", [(f"sum by (result) ({rate('einmal_txn_offset_commits_total')})", "{{result}}")], "cps", "What became of consumer offsets sent with transactions. superseded: a plain commit came later.", 8),
                series("Partitions per transaction", [(ratio(total("einmal_txn_partitions_sum"), total("einmal_txn_partitions_count")), "mean"), (f"sum(einmal_txn_markers_pending{{{BY}}})", "ends under way")], "none", "Ends with more than 10,000 partitions take several writes; ends under way is 0 but for these.", 8),
                series("Records per transaction", [(quantile(0.5, "einmal_txn_records"), "p50"), (quantile(0.99, "einmal_txn_records"), "p99")], "none", "About 1: a transaction for each record, of which each end costs a write; raise commit.interval.ms or take more at a time. Millions: readers of committed records wait for long.", 8),
            ],
        ),
        (
            "Readers of committed records",
            [
                series("Age of the oldest transaction", [(f"max by (instance) (einmal_txn_oldest_open_age_seconds{{{BY}}})", "oldest"), (f"max by (instance) (einmal_txn_timeout_max_seconds{{{BY}}})", "longest timeout")], "s", "A transaction ends at its timeout at the latest. Above the longest timeout: it hangs, `einmal txn find-hanging`.", 8),
                table("Held back", f"topk(20, max by (topic, partition) (einmal_partition_lso_lag_records{{{TOPIC}}}))", {"topic": "Topic", "partition": "Partition", "Value": "Records held back"}, "none", "Partitions in which an open transaction keeps records from read_committed consumers. Empty is well.", 8),
                series("Group lag: all, and what may be read", [(f"sum by (group) (einmal_group_lag_records{{{GROUP}}})", "{{group}}"), (f"sum by (group) (einmal_group_lag_committed_records{{{GROUP}}})", "{{group}}, committed")], "none", "Where the second line is low and the first high, the group is not slow: a transaction holds it up.", 8),
            ],
        ),
        (
            "Reading",
            [
                text(
                    "**Duplicates** are the system at work: each was a retry whose first answer did not arrive, and none of them is in the log. "
                    "**Out of order** means loss or a defect in a client.\n\n"
                    "**Readers stand still?** See *Held back* for the partition, then `einmal txn list`, "
                    "`einmal txn describe ID`, and if its owner is gone, `einmal txn abort ID`; `einmal txn find-hanging` finds what no "
                    "coordinator knows of. Kafka's `kafka-transactions` does the same. A transaction whose owner is gone is aborted after its `transaction.timeout.ms` at the latest.\n\n"
                    "**Fenced** producers are instances that another one with the same `transactional.id` has replaced. A steady rate means that two "
                    "live instances fight over one id."
                )
            ],
        ),
    ],
)

TOPICS = board(
    "einmal-topics-groups",
    "einmal / Topics and groups",
    "Who lags, by how much, and what grows.",
    ["job", "instance", "topic", "group"],
    [
        (
            "Lag",
            [
                series("Lag in time", [(f"topk(10, max by (group, topic) (einmal_group_lag_seconds{{{GROUP},topic=~\"$topic\"}}))", "{{group}} / {{topic}}")], "s", "Age of the oldest record not committed: how late a group is. Rising at one second per second: it stands still.", 12),
                series("Lag in records", [(f"topk(10, sum by (group, topic) (einmal_group_lag_records{{{GROUP},topic=~\"$topic\"}}))", "{{group}} / {{topic}}")], "none", "Records between committed offsets and high watermarks. Rising while the group commits: too few consumers or partitions.", 12),
                table("Groups", f"max by (group) (einmal_group_lag_records_max{{{GROUP}}})", {"group": "Group", "Value": "Lag, worst partition"}, "none", "Lag in the partition where it is largest. Far above lag ÷ partitions: one partition is hot or one member is stuck.", 8),
                table("Members", f"max by (group) (einmal_group_members{{{BY}}})", {"group": "Group", "Value": "Members"}, "none", "Members by group. 0 with lag: nobody reads.", 8),
                series("Time since the last commit", [(f"time() - max by (group) (einmal_group_last_commit_timestamp_seconds{{{GROUP}}})", "{{group}}")], "s", "High with lag: the group is stuck, or processes without committing. High without lag: nothing to read.", 8),
            ],
        ),
        (
            "Production against consumption",
            [
                series("Records in and out", [(f"sum by (topic) ({rate('einmal_topic_records_in_total', TOPIC)})", "in {{topic}}"), (f"sum by (topic) ({rate('einmal_topic_records_out_total', TOPIC)})", "out {{topic}}")], "cps", "Records appended beside records fetched, once for each reader. Less goes out than comes in: consumers fall behind.", 8),
                series("Partition lag", [(f"topk(10, kafka_consumergroup_lag{{{BY},consumergroup=~\"$group\",topic=~\"$topic\"}})", "{{consumergroup}} / {{topic}}-{{partition}}")], "none", "The ten worst partitions. One alone: a key that dominates, or a member that hangs.", 8),
                series("Skew of topics", [(f"max by (topic) (rate(einmal_partition_high_watermark{{{TOPIC}}}[$__rate_interval])) / (avg by (topic) (rate(einmal_partition_high_watermark{{{TOPIC}}}[$__rate_interval])) > 0) or max by (topic) (einmal_partition_high_watermark{{{TOPIC}}}) * 0 + 1", "{{topic}}")], "none", "Busiest partition against the mean. 1 is even; as many as there are partitions: all records go to one.", 8),
            ],
        ),
        (
            "Topics",
            [
                bars("Size", [(f"topk(15, sum by (topic) (einmal_partition_size_bytes{{{TOPIC}}}))", "{{topic}}")], "bytes", "Bytes of readable batches, the fifteen largest. Absent above 1,000 partitions, see einmal.metrics.level.", 8),
                series("Growth", [(f"topk(10, sum by (topic) (deriv(einmal_partition_size_bytes{{{TOPIC}}}[$__rate_interval])))", "{{topic}}")], "Bps", "Growth of readable bytes; below 0 where records are deleted.", 8),
                series("Deleted", [(f"sum by (reason) ({rate('einmal_retention_deleted_bytes_total', TOPIC)})", "{{reason}}")], "Bps", "Bytes that log starts moved over, by reason: age, size, or DeleteRecords.", 8),
                series("Oldest record", [(f"topk(10, max by (topic) (einmal_topic_oldest_record_age_seconds{{{TOPIC}}}))", "{{topic}}")], "s", "What is left of the past. Above what the topic should keep: nothing deletes.", 8),
                table("Records kept", f"topk(50, sum by (topic) (einmal_partition_high_watermark{{{TOPIC}}} - einmal_partition_log_start_offset{{{TOPIC}}}))", {"topic": "Topic", "Value": "Offsets kept"}, "none", "Offsets between log start and high watermark.", 12),
                series("Refused", [(f"sum by (topic) ({rate('einmal_topic_produce_failed_total', TOPIC)})", "produce {{topic}}"), (f"sum by (topic) ({rate('einmal_topic_fetch_failed_total', TOPIC)})", "fetch {{topic}}")], "cps", "Batches refused and fetches answered with an error.", 12),
            ],
        ),
        (
            "Groups",
            [
                series("Groups by state", [(f"sum by (protocol, state) (einmal_groups{{{BY}}})", "{{protocol}} {{state}}")], "none", "PreparingRebalance and Reconciling should pass within seconds.", 8, stack=True),
                series("Rebalances", [(f"sum by (reason) (increase(einmal_group_rebalances_total{{{GROUP}}}[$__rate_interval]))", "{{reason}}")], "none", "Generations and assignments begun, by what caused them. session_timeout: members die or are cut off. leave, then join, again and again: members miss max.poll.interval.ms, or restart in a loop. rebalance_timeout: a member does not do its part in time.", 8, bars=True, stack=True),
                series("Commits", [(f"sum by (group) (rate(einmal_group_commits_total{{{GROUP},result=\"committed\"}}[$__rate_interval]))", "{{group}}"), (f"sum by (group) (rate(einmal_group_commits_total{{{GROUP},result=\"refused\"}}[$__rate_interval])) > 0", "refused {{group}}")], "cps", "Offsets committed. Thousands per second: a commit for each record. Refused: by members that are none any more, which read on what others have been given.", 8),
                series("Committed offsets", [(f"sum(einmal_group_offsets{{{BY}}})", "kept")], "none", "Of all groups and partitions; they are in memory. A steady rise: groups with new names that nobody uses again.", 12),
                series("Committed offsets forgotten", [(total("einmal_group_offsets_expired_total"), "offsets")], "cps", "After offsets.retention.minutes without members. A group that comes back after that begins anew by its auto.offset.reset.", 12),
            ],
        ),
    ],
)

STORAGE = board(
    "einmal-storage",
    "einmal / Storage",
    "RocksDB, its log, and the disk.",
    ["job", "instance"],
    [
        (
            "Now",
            [
                stat("Writes", f"max(einmal_storage_write_stopped{{{BY}}})", "none", "Whether RocksDB refuses writes, as compaction is too far behind. Stopped: the disk is too slow for what is written.", steps((1, RED)), text={0: "flow", 1: "stopped"}),
                stat("Delayed to", f"max(einmal_storage_delayed_write_rate_bytes{{{BY}}})", "Bps", "Rate to which RocksDB slows writes, 0 if it does not.", steps((1, YELLOW))),
                stat("Pending compaction", f"sum(einmal_storage_pending_compaction_bytes{{{BY}}})", "bytes", "Work that waits. Rising for hours: the disk cannot keep up.", steps((8 << 30, YELLOW), (48 << 30, RED))),
                stat("Files in level 0", f"max(einmal_storage_l0_files{{{BY}}})", "none", "Many files slow reads and then writes.", steps((20, YELLOW), (36, RED))),
                stat("Disk free", f"min(einmal_storage_disk_free_bytes{{{BY}}} / einmal_storage_disk_total_bytes{{{BY}}})", "percentunit", "Free space of the data directory's file system.", [{"color": RED, "value": None}, {"color": YELLOW, "value": 0.1}, {"color": GREEN, "value": 0.2}]),
                stat("Background work", f"max(einmal_storage_background_failing{{{BY}}})", "none", "Whether a flush or compaction has failed within the last five minutes. Failing: see the log, check the disk.", steps((1, RED)), text={0: "fine", 1: "failing"}),
                stat("Damaged reads", f"sum(einmal_storage_corruption_total{{{BY}}})", "none", "Reads whose checksum was wrong. Any: the disk lies, restore from elsewhere.", steps((1, RED))),
                stat("Durability", f"max(einmal_fsync_disabled{{{BY}}})", "none", "Whether acks=all waits for the fsync by default.", steps((1, YELLOW)), text={0: "fsync", 1: "page cache"}),
                stat("Produce", f"max(einmal_disk_low{{{BY}}})", "none", "Whether records and new topics are refused, as less than einmal.disk.reserve.bytes is free. Delete records or topics, or grow the disk.", steps((1, RED)), 6, {0: "taken", 1: "refused"}),
                stat("Topics without fsync", f"sum(einmal_topics_relaxed_durability{{{BY}}})", "none", "Topics whose acks=all is answered from the page cache (flush.messages, or the broker's default): a power cut may take their acknowledged records back.", steps((1, YELLOW)), 6),
                stat("Space not given back", f"sum(increase(einmal_storage_reclaim_failures_total{{{BY}}}[$__range]))", "none", "Failures to give space of removed records back to the disk in the shown range, each tried again within a minute. Rising: the disk fills although records are deleted; the log says why.", steps((1, YELLOW), (30, RED)), 6, decimals=0),
                stat("Threads that ended", f"sum(einmal_engine_thread_panics_total{{{BY}}})", "none", "Threads beside the writer that panicked since the start. Any: retention, compaction, the return of space or the move of message ids to files stands still; restart the broker, and report the log line.", steps((1, RED)), 6),
            ],
        ),
        (
            "Writing",
            [
                heatmap("Syncs of the write-ahead log", "einmal_wal_sync_duration_seconds", BY, "s", "Time of one fsync, which every acks=all waits for. A second band: the disk does something else at times.", 8),
                series("Commands per commit", [(ratio(total("einmal_engine_group_commands_sum"), total("einmal_engine_group_commands_count")), "mean")], "none", "How many requests share one write and one fsync. It rises with load by itself, and is why throughput does.", 8),
                series("Append", [(f"histogram_quantile(0.99, sum by (le, durability) ({rate('einmal_append_duration_seconds_bucket')}))", "p99 {{durability}}"), (f"histogram_quantile(0.5, sum by (le, durability) ({rate('einmal_append_duration_seconds_bucket')}))", "p50 {{durability}}")], "s", "From a queued append to its answer.", 8),
                series("Log and syncs", [(total("einmal_wal_syncs_total"), "syncs")], "ops", "Fsyncs per second. Few under load: each takes long.", 4),
                series("Sync under way", [(f"max(einmal_wal_sync_running_seconds{{{BY}}})", "so far")], "s", "How long the fsync that is under way has taken so far. A line that climbs: the disk hangs, and nothing is acknowledged.", 4, thresholds=steps((10, RED))),
                series("Writer", [(rate("einmal_engine_busy_seconds_total"), "busy")], "percentunit", "Share of the one writer's time. Near 100 %: it is what limits.", 8, thresholds=steps((0.9, RED))),
                series("Queue", [(f"einmal_engine_queue_commands{{{BY}}}", "commands")], "none", "Commands that wait for the writer. It is empty between bursts.", 4),
                series("Queue, bytes", [(f"einmal_engine_queue_bytes{{{BY}}}", "bytes")], "bytes", "Bytes of batches in these commands.", 4),
            ],
        ),
        (
            "Background work",
            [
                series("Bytes written", [(total("einmal_wal_bytes_written_total"), "write-ahead log"), (total("einmal_storage_flush_bytes_total"), "flush"), (total("einmal_storage_compaction_written_bytes_total"), "compaction")], "Bps", "What one byte of a producer costs the disk, by kind.", 8, stack=True),
                series("Write amplification", [(ratio(f"{total('einmal_wal_bytes_written_total')} + {total('einmal_storage_flush_bytes_total')} + {total('einmal_storage_compaction_written_bytes_total')}", total("einmal_topic_bytes_in_total")), "times")], "none", "Bytes written to disk per byte produced. About 2 with blob files; far above: small batches, or deletes.", 8),
                series("Stalls", [(total("einmal_storage_stall_seconds_total"), "stalled"), (f"sum(einmal_storage_running_compactions{{{BY}}})", "compactions"), (f"sum(einmal_storage_running_flushes{{{BY}}})", "flushes")], "none", "Share of time in which writes were held up, beside the work under way.", 8),
                series("Files", [(f"sum(einmal_storage_sst_bytes{{{BY}}})", "tables"), (f"sum(einmal_storage_blob_bytes{{{BY}}})", "blobs"), (f"sum(einmal_storage_blob_garbage_bytes{{{BY}}})", "garbage in blobs"), (f"sum(einmal_storage_live_data_bytes{{{BY}}})", "live data in tables")], "bytes", "Where the bytes are. Garbage goes when retention moves on.", 8),
                series("Compaction reads", [(total("einmal_storage_compaction_read_bytes_total"), "read")], "Bps", "Bytes that compactions read.", 8),
                series("Oldest snapshot", [(f"max(einmal_storage_oldest_snapshot_age_seconds{{{BY}}})", "age")], "s", "A snapshot that is never released keeps dead data on disk. 0: there is none.", 8),
            ],
        ),
        (
            "Memory and caches",
            [
                series("Memory", [(f"sum(einmal_storage_memtable_bytes{{{BY}}})", "memtables"), (f"sum(einmal_storage_block_cache_usage_bytes{{{BY}}})", "block cache"), (f"sum(einmal_storage_block_cache_capacity_bytes{{{BY}}})", "block cache at most"), (f"sum(einmal_storage_block_cache_pinned_bytes{{{BY}}})", "pinned blocks"), (f"sum(einmal_storage_table_reader_bytes{{{BY}}})", "table readers"), (f"sum(einmal_tail_cache_bytes{{{BY}}})", "tail cache"), (f"sum(process_resident_memory_bytes{{{BY}}})", "resident")], "bytes", "Parts of the process's memory that have a limit.", 8),
                series("Block cache hits", [(ratio(total("einmal_storage_block_cache_hits_total"), f"{total('einmal_storage_block_cache_hits_total')} + {total('einmal_storage_block_cache_misses_total')}"), "hits")], "percentunit", "Share of index and data blocks found in memory.", 8),
                series("Tail cache hits", [(ratio(total("einmal_tail_cache_hits_total"), f"{total('einmal_tail_cache_hits_total')} + {total('einmal_tail_cache_misses_total')}"), "hits")], "percentunit", "Share of reads that never reach RocksDB. Low: consumers are behind.", 8),
            ],
        ),
        (
            "Disk",
            [
                series("Free", [(f"einmal_storage_disk_free_bytes{{{BY}}}", "free"), (f"einmal_storage_disk_total_bytes{{{BY}}}", "size")], "bytes", "Of the data directory's file system.", 8),
                series("Free in a day", [(f"predict_linear(einmal_storage_disk_free_bytes{{{BY}}}[6h], 86400)", "forecast")], "bytes", "The trend of six hours, a day on. Below 0: it will be full.", 8),
                series("Last recovery", [(f"einmal_recovery_seconds{{{BY}}}", "time")], "s", "How long the last start took to open the data directory.", 4),
                series("Replayed", [(f"einmal_recovery_replayed_bytes{{{BY}}}", "bytes")], "bytes", "Write-ahead log that the last start replayed. 0 after a clean stop.", 4),
            ],
        ),
    ],
)

BOARDS = {"overview": OVERVIEW, "exactly-once": EXACTLY_ONCE, "topics-and-groups": TOPICS, "storage": STORAGE}


def main():
    stale = []
    for name, made in BOARDS.items():
        path = HERE / "dashboards" / f"{name}.json"
        content = json.dumps(made, indent=2, ensure_ascii=False) + "\n"
        if sys.argv[1:] == ["--check"]:
            if not path.exists() or path.read_text() != content:
                stale.append(path.name)
        else:
            path.write_text(content)
    if stale:
        sys.exit(f"not as build.py would write them: {', '.join(stale)}")


if __name__ == "__main__":
    main()
