"""What an interrupted run has left, to go on with."""
import dataclasses
import json
import sys

from figures import Row

# What must not differ between the pieces of one result.
SAME = ("form", "mode", "commit", "einmal", "cpu", "cores", "kernel")


class Earlier:
    """The files of one result. A row that a broker could not run is not done; it is measured again."""

    def __init__(self, path):
        self.path = path
        found = json.loads(path.read_text())
        histograms = json.loads(path.with_name(f"{path.stem}-histograms.json").read_text())
        self.facts, self.limits, self.calibration = found["machine"], found["limits"], found["calibration"]
        self._form = found["form"]
        rows = [Row.of(row) for row in found["rows"] if not row["notes"]]
        self.done = {(row.workload, row.durability) for row in rows}
        latencies, histograms = ([each for each in all_of if (each["workload"], each["durability"]) in self.done] for all_of in (found["latencies"], histograms))
        self.measured = rows, latencies, histograms, found["cold_kafka"], found["slower_rates"]

    def check(self, facts, form):
        """Ends the program if what is to be added was measured otherwise."""
        other = [name for name in SAME if facts[name] != self.facts[name]]
        if json.loads(json.dumps(dataclasses.asdict(form))) != self._form:
            other.append("sizes of the form")
        if other:
            sys.exit(f"{self.path} is another run's, it differs in: {', '.join(other)}")
