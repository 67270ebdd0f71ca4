"""What a broker costs while something is measured, and whether anybody else disturbed it."""
import os
import re
import resource
import time
import urllib.request

import proc

# A repetition is discarded in which others took more than this of the CPU of all cores: processes that are seen, those of other
# containers, which only the machine's own count tells of, and the hypervisor. That count looks who runs at each tick of the clock. A
# load with a rate wakes up at ticks: README.md says how far it was off with nobody else there.
OTHERS_MAX = 0.03
UNSEEN_MAX = 0.3
STEAL_MAX = 0.01
KERNEL_THREADS = 2


class Interval:
    """`with Interval(broker, idle) as interval`: afterwards its fields tell. `idle` is the other broker, if it runs.

    With `to_device` everything written is on the device at both ends, so that the device's bytes are this interval's own.
    """

    def __init__(self, broker, idle=None, to_device=False):
        self.broker, self.idle, self.to_device = broker, idle, to_device

    def __enter__(self):
        if self.to_device:
            os.sync()
        proc.forget_peak(self.broker.pid)
        self._before = self._snapshot()
        return self

    def __exit__(self, failure, *_):
        if failure:
            return
        self.rss_peak_mb = proc.rss_peak_mb(self.broker.pid)
        self.wall_s = time.monotonic() - self._before["at"]
        before_sync = self._snapshot()
        if self.to_device:
            os.sync()
        before, after = self._before, self._snapshot()
        # What the broker does until all is on the device is its own, too: flushes and compactions of RocksDB.
        self.cpu_s = self._spent(before, after, self.broker.pid)
        self.client_cpu_s = before_sync["children"] - before["children"]
        self.context_switches = after["switches"] - before["switches"]
        self.syncs = None if after["syncs"] is None else after["syncs"] - before["syncs"]
        self.device_bytes = self.device_flushes = None
        if after["device"] and before["device"]:
            self.device_bytes = after["device"][0] - before["device"][0]
            self.device_flushes = after["device"][1] - before["device"][1]
        ticks, self.steal, total = (now - then for now, then in zip(after["machine"], before["machine"]))
        total = max(total, proc.TICKS**-1)
        self.steal /= total
        ours = self.cpu_s + after["children"] - before["children"] + after["own"] - before["own"]
        if self.idle:
            ours += self._spent(before, after, self.idle.pid)
        kernel = sum(self._spent(before, after, pid) for pid, process in after["processes"].items() if KERNEL_THREADS in (pid, process.parent))
        self.others = self._of_others(before["processes"], after["processes"]) / total
        self.unseen = max((ticks - ours - kernel) / total - self.others, 0)

    def _of_others(self, before, after):
        """CPU seconds of processes that are neither the harness nor a broker nor the kernel. Who ended meanwhile is found with its parent."""
        parents = {pid: process.parent for pid, process in (before | after).items()}
        known = {self.broker.pid, os.getpid(), KERNEL_THREADS} | ({self.idle.pid} if self.idle else set())

        def is_known(pid):
            while pid in parents and pid not in known:
                pid = parents[pid]
            return pid in known

        spent = 0.0
        for sign, processes in ((1, after), (-1, before)):
            spent += sign * sum(each.cpu_s + each.ended_children_cpu_s for pid, each in processes.items() if not is_known(pid))
        return max(spent, 0.0)

    @staticmethod
    def _spent(before, after, pid):
        """CPU seconds of a process, which need not run at both ends."""
        then, now = (snapshot["processes"].get(pid) for snapshot in (before, after))
        return (now.cpu_s if now else 0) - (then.cpu_s if then else 0)

    @property
    def is_disturbed(self):
        return self.others > OTHERS_MAX or self.unseen > UNSEEN_MAX or self.steal > STEAL_MAX

    def costs(self, gigabytes):
        """The figures that every row that moves bytes has."""
        return {
            "cpu_s_per_gb": self.cpu_s / gigabytes,
            "rss_peak_mb": self.rss_peak_mb,
            "client_cpu_s_per_gb": self.client_cpu_s / gigabytes,
            "context_switches_per_gb": self.context_switches / gigabytes,
            "syncs_per_gb": None if self.syncs is None else self.syncs / gigabytes,
            "device_flushes_per_gb": None if self.device_flushes is None else self.device_flushes / gigabytes,
            "device_bytes_ratio": self.device_bytes / 1e9 / gigabytes if self.to_device and self.device_bytes is not None else None,
        }

    def _snapshot(self):
        children, own = resource.getrusage(resource.RUSAGE_CHILDREN), resource.getrusage(resource.RUSAGE_SELF)
        return {
            "at": time.monotonic(),
            "own": own.ru_utime + own.ru_stime,
            "processes": proc.processes(),
            "machine": proc.machine_seconds(),
            "children": children.ru_utime + children.ru_stime,
            "switches": proc.context_switches(self.broker.pid),
            "device": proc.device_written(self.broker.data),
            "syncs": self._syncs(),
        }

    def _syncs(self):
        """Of einmal's own metric; Kafka's would take JMX."""
        if not getattr(self.broker, "admin", None):
            return None
        text = urllib.request.urlopen(f"{self.broker.admin}/metrics", timeout=5).read().decode()
        found = re.search(r"^einmal_wal_sync_duration_seconds_count (\d+)", text, re.MULTILINE)
        return int(found[1]) if found else 0
