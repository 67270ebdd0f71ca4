"""How the story is told: in the terminal while it goes on, and as a page with a picture."""

import html
from dataclasses import dataclass

from audit import DOUBLED, LOST, Audit
from guarantees import STEPS

BAR = 24


@dataclass
class Told:
    """One step that is over."""

    steps: int
    audit: Audit
    deaths: dict
    breaks: int
    outages: int
    seconds: float


def money(cents):
    return f"{cents / 100:,.2f} €"


def total(debts):
    """In words."""
    return money(sum(cents for _, _, cents in debts))


def most(all_told):
    """The cents that the longest bar stands for."""
    return max([1] + [max(told.audit.lost(), told.audit.doubled()) for told in all_told])


def opening(debts, accounts, seed, times):
    """`accounts`: how many the ledger has."""
    print(f"A shop owes {len(debts):,} red packets, {total(debts)} in all, to {accounts} accounts of a database.")
    print("A program opens them, another books them. All three talk through one broker and use stock librdkafka.")
    print("Answers of the broker get lost, its power fails, and the programs are killed where it hurts most.")
    print(f"{times} times the same, each time with one guarantee more. Seed {seed}.\n")


def beginning(steps):
    print(f"{steps}  {STEPS[steps].name}: {STEPS[steps].how} ...", flush=True)


def step(told):
    deaths = ", ".join(f"{name} {count}" for name, count in told.deaths.items())
    print(f"   {told.seconds:.0f} s; answers lost {told.breaks} times, power cut {told.outages} times; killed: {deaths}")
    for what in LOST + DOUBLED:
        if told.audit.packets[what]:
            print(f"   {told.audit.packets[what]:5} packets {what}: {money(told.audit.cents[what])}")
    print(f"   money lost {money(told.audit.lost())}, doubled {money(told.audit.doubled())}\n", flush=True)


def closing(all_told):
    longest = most(all_told)
    print(f"{'':18}{'lost':>14}  {'':{BAR}} {'doubled':>14}")
    for told in all_told:
        lost, doubled = told.audit.lost(), told.audit.doubled()
        bars = [("█" * -(-amount * BAR // longest)).ljust(BAR) for amount in (lost, doubled)]
        print(f"{STEPS[told.steps].name:18}{money(lost):>14}  {bars[0]} {money(doubled):>14}  {bars[1].rstrip()}")


def figures(told):
    """For scripts."""
    return {
        "step": STEPS[told.steps].name,
        "lost_cents": told.audit.lost(),
        "doubled_cents": told.audit.doubled(),
        "packets": dict(told.audit.packets),
        "deaths": told.deaths,
        "answers_lost": told.breaks,
        "power_cuts": told.outages,
        "seconds": round(told.seconds, 1),
    }


def picture(all_told):
    """Bars of what was lost and doubled, as SVG."""
    longest = most(all_told)
    width, row, left = 760, 44, 150
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{row * len(all_told) + 30}" '
             'font-family="sans-serif" font-size="13" role="img" aria-label="money lost and doubled by step">',
             '<rect width="100%" height="100%" fill="#fff"/>']
    for index, told in enumerate(all_told):
        y = 10 + index * row
        parts.append(f'<text x="8" y="{y + 24}" fill="#222">{html.escape(STEPS[told.steps].name)}</text>')
        for offset, color, name, amount in [(4, "#c0392b", "lost", told.audit.lost()), (21, "#e08e0b", "doubled", told.audit.doubled())]:
            bar = (width - left - 190) * amount / longest
            parts.append(f'<rect x="{left}" y="{y + offset}" width="{bar:.1f}" height="14" fill="{color}"/>')
            parts.append(f'<text x="{left + bar + 6:.1f}" y="{y + offset + 12}" fill="#444">{name} {money(amount)}</text>')
    parts.append("</svg>")
    return "\n".join(parts)


def page(all_told, debts, seed):
    """All of it as one HTML file."""
    head = "".join(f"<th>{html.escape(what)}</th>" for what in LOST + DOUBLED)
    body = ""
    for told in all_told:
        cells = "".join(f"<td>{told.audit.packets[what] or ''}</td>" for what in LOST + DOUBLED)
        step = STEPS[told.steps]
        body += (f"<tr><th>{html.escape(step.name)}<br><small>{html.escape(step.how)}</small></th>{cells}"
                 f"<td>{money(told.audit.lost())}</td><td>{money(told.audit.doubled())}</td></tr>\n")
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Red packets through einmal</title>
<style>body {{ font: 15px/1.5 sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em }}
table {{ border-collapse: collapse }} td, th {{ border: 1px solid #ccc; padding: .3em .6em; text-align: right }}
tbody th {{ text-align: left }} small {{ font-weight: normal; color: #555 }}</style>
<h1>Every packet once</h1>
<p>A shop owes {len(debts):,} red packets, {total(debts)} in all. They go through the broker, are opened and booked, while answers of the broker
get lost, its power fails, and each program is killed where it hurts most. Each row has one guarantee more than the one above it.
Seed {seed}.</p>
{picture(all_told)}
<h2>Packets by what happened to them</h2>
<table><thead><tr><th></th>{head}<th>lost</th><th>doubled</th></tr></thead><tbody>
{body}</tbody></table>
</html>
"""
