"""Plots as SVG, readable on light and dark pages: latency percentiles, CPU per GB, and scaling over partitions."""
import math
import re
from html import escape

from figures import median

WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 46, 56
COLOURS = {"einmal": "#0b7285", "kafka": "#d9480f"}
NAMES = {"einmal": "einmal", "kafka": "Apache Kafka"}
PERCENTILES = ["p50", "p90", "p99", "p99_9", "p99_99"]


def all_of(rows, latencies):
    """{name: SVG} of those that have something to show."""
    found = {"cpu-per-gb": cpu_per_gb(rows), "partitions": scaling(rows)}
    for workload, durability in dict.fromkeys((each["workload"], each["durability"]) for each in latencies):
        told = [each for each in latencies if (each["workload"], each["durability"]) == (workload, durability)]
        found[f"latency-{workload}-{durability}"] = latency(told)
    return {name: picture for name, picture in found.items() if picture}


class Plot:
    """A frame. Its vertical axis is logarithmic for lines, and begins at 0 for bars, whose length is what one sees."""

    def __init__(self, title, unit, values, is_logarithmic=True):
        self.is_logarithmic, self.parts = is_logarithmic, []
        self.text(LEFT, 18, title, weight="bold", size=14)
        self.text(LEFT, TOP - 8, unit)
        positive = [value for value in values if value > 0]
        if is_logarithmic:
            exponents = range(math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive) * 1.01)) + 1)
            ticks = [10.0**exponent for exponent in exponents]
        else:
            step = 10.0 ** math.floor(math.log10(max(positive)))
            step = next(step * part for part in (0.2, 0.5, 1, 2) if max(positive) <= 6 * step * part)
            ticks = [step * index for index in range(math.ceil(max(positive) / step) + 1)]
        self.low, self.high = ticks[0], ticks[-1]
        for tick in ticks:
            at = self.y(tick)
            self.parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#8884"/>')
            self.text(LEFT - 6, at + 4, f"{tick:,g}", anchor="end")

    def y(self, value):
        if self.is_logarithmic:
            share = math.log10(max(value, self.low) / self.low) / math.log10(self.high / self.low)
        else:
            share = value / self.high
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def text(self, x, y, words, anchor="start", weight="normal", size=12, colour="#888"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" font-size="{size}" fill="{colour}">{escape(words)}</text>')

    def line(self, points, colour):
        path = " ".join(f"{x:.1f},{self.y(value):.1f}" for x, value in points)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, value in points:
            self.parts.append(f'<circle cx="{x:.1f}" cy="{self.y(value):.1f}" r="3.5" fill="{colour}"><title>{value:,.4g}</title></circle>')

    def bar(self, x, width, value, colour):
        top = self.y(value)
        self.parts.append(f'<rect x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{HEIGHT - BOTTOM - top:.1f}" fill="{colour}"/>')
        self.text(x + width / 2, top - 4, f"{value:,.3g}", anchor="middle", size=11)

    def legend(self, brokers):
        x = WIDTH - RIGHT - 110 * len(brokers)
        for broker in brokers:
            self.parts.append(f'<rect x="{x}" y="{HEIGHT - 14}" width="10" height="10" fill="{COLOURS[broker]}"/>')
            self.text(x + 14, HEIGHT - 5, NAMES[broker])
            x += 110

    def svg(self):
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" font-family="sans-serif">\n'
            + "\n".join(self.parts) + "\n</svg>\n"
        )


def steps(count):
    """Places on the horizontal axis."""
    room = WIDTH - LEFT - RIGHT
    return [LEFT + room * (index + 0.5) / count for index in range(count)]


def latency(told):
    shown = [name for name in PERCENTILES if all(each["us"].get(name) for each in told)]
    if not shown:
        return None
    first = told[0]
    plot = Plot(f"{first['title']}, {first['durability']}: latency", "ms", [each["us"][name] / 1000 for each in told for name in shown])
    for x, name in zip(steps(len(shown)), shown):
        plot.text(x, HEIGHT - BOTTOM + 18, name.replace("_", "."), anchor="middle")
    for each in told:
        plot.line([(x, each["us"][name] / 1000) for x, name in zip(steps(len(shown)), shown)], COLOURS[each["broker"]])
    plot.legend([each["broker"] for each in told])
    return plot.svg()


def cpu_per_gb(rows):
    shown = [row for row in rows if row.unit == "CPU-s/GB" and "broker CPU" in row.what and row.einmal]
    if not shown:
        return None
    plot = Plot("Broker CPU per GB of payload", "CPU-s/GB", [median(values) for row in shown for values in (row.einmal, row.kafka) if values], is_logarithmic=False)
    width = min(40, (WIDTH - LEFT - RIGHT) / len(shown) / 2.6)
    for x, row in zip(steps(len(shown)), shown):
        for side, values in (("einmal", row.einmal), ("kafka", row.kafka)):
            if values:
                plot.bar(x - width if side == "einmal" else x, width, median(values), COLOURS[side])
        plot.text(x, HEIGHT - BOTTOM + 18, f"{row.workload}, {row.durability}", anchor="middle")
    plot.legend(["einmal", "kafka"] if any(row.kafka for row in shown) else ["einmal"])
    return plot.svg()


def scaling(rows):
    shown = [row for row in rows if re.fullmatch(r"P3-\d+", row.workload) and row.unit == "records/s" and row.einmal]
    if len(shown) < 2:
        return None
    plot = Plot("Batches of one 1 KiB record over partitions, D2", "records/s", [median(values) for row in shown for values in (row.einmal, row.kafka) if values])
    places = steps(len(shown))
    for x, row in zip(places, shown):
        plot.text(x, HEIGHT - BOTTOM + 18, f"{int(row.workload[3:]):,} partitions", anchor="middle")
    sides = [side for side in COLOURS if any(getattr(row, side) for row in shown)]
    for side in sides:
        plot.line([(x, median(getattr(row, side))) for x, row in zip(places, shown) if getattr(row, side)], COLOURS[side])
    plot.legend(sides)
    return plot.svg()
