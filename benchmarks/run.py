# Runs every benchmark program and the peers, prints one table and writes an array of figures as JSON.
import argparse
import glob
import json
import os
import subprocess
import sys

SCALE = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
KEYS = ["component", "figure", "value", "unit", "goal", "peer", "peer_value", "ratio", "met"]


def json_lines(command):
    """Runs a command, shows its other output, returns its JSON lines and whether it succeeded."""
    print("bench: %s" % os.path.basename(command[-1]), flush=True)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=1200)
    except subprocess.TimeoutExpired:
        print("bench: %s did not end within 1200 s" % command[-1], file=sys.stderr)
        return [], False
    rows = []
    for line in done.stdout.splitlines():
        try:
            row = json.loads(line) if line.startswith("{") else None
        except ValueError:
            row = None
        if row is None:
            print("  " + line)
        else:
            rows.append(row)
    if done.returncode != 0:
        print("bench: %s failed (%d)" % (command[-1], done.returncode), file=sys.stderr)
    return rows, done.returncode == 0


def converted(value, unit, to):
    return value * SCALE[unit] / SCALE[to] if unit in SCALE and to in SCALE else value


def lower_is_better(row):
    """What the row says; else rates ("1/s", "M/s", "GB/s") are better higher, times and amounts lower."""
    if row.get("better"):
        return row["better"] == "lower"
    return not row["unit"].endswith("/s")


def rivals_of(row, peers):
    """(name, value in the unit of the row) of each peer; value None for one that has a goal and was not measured."""
    rivals = [(row["peer"], row["peer_value"])] if row.get("peer") else []
    for peer in peers:
        if row.get("peer_key") and peer["key"] == row["peer_key"]:
            rivals.append((peer["peer"], converted(peer["value"], peer["unit"], row["unit"])))
    measured = {name for name, _ in rivals}
    return rivals + [(name, None) for name in row.get("ratio_goals", {}) if name not in measured]


def records_of(row, peers):
    """One record per peer of a figure; ratio is how many times better than the peer ours is.

    A peer named in `ratio_goals` has that goal in its record; the figure's own goal then has a record without peer.
    """
    lower = lower_is_better(row)
    goal, ratio_goals = row.get("goal"), row.get("ratio_goals", {})
    met = None if goal is None else (row["value"] <= goal if lower else row["value"] >= goal)
    text = None if goal is None else "%s %g" % ("<=" if lower else ">=", goal)
    rivals = rivals_of(row, peers)
    if not rivals or (goal is not None and all(name in ratio_goals for name, _ in rivals)):
        rivals.insert(0, (None, None))
    for name, value in rivals:
        ratio = None
        if value and row["value"]:
            ratio = value / row["value"] if lower else row["value"] / value
        own_text, own_met = text, met
        if name in ratio_goals:
            own_text = ">= %gx" % ratio_goals[name]
            own_met = None if ratio is None else ratio >= ratio_goals[name]
        values = [row["component"], row["figure"], row["value"], row["unit"], own_text, name, value, ratio, own_met]
        yield dict(zip(KEYS, values))


def print_table(records):
    def cell(value):
        if value is None:
            return "-"
        if isinstance(value, bool):
            return "yes" if value else "NO"
        return "%.4g" % value if isinstance(value, float) else str(value)

    columns = ["component", "figure", "value", "unit", "goal", "peer", "peer_value", "ratio", "met"]
    rows = [columns] + [[cell(record[key]) for key in columns] for record in records]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", required=True)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))
    with open(options.programs, encoding="utf-8") as file:
        programs = [line.strip() for line in file if line.strip()]
    fine = True
    figures, peers = [], []
    for program in programs:
        rows, ended_well = json_lines([program])
        figures += rows
        fine = fine and ended_well
    for script in sorted(glob.glob(os.path.join(here, "peers", "*.py"))):
        rows, ended_well = json_lines([sys.executable, script])
        peers += rows
        fine = fine and ended_well
    records = [record for row in figures for record in records_of(row, peers)]
    print_table(records)
    used = {row.get("peer_key") for row in figures}
    for peer in peers:
        if peer["key"] not in used:
            print("peer without a figure of ours: %(peer)s %(key)s %(value).4g %(unit)s" % peer)
    with open(options.out, "w", encoding="utf-8") as file:
        json.dump(records, file, indent=1)
    print("bench: %d figures in %s" % (len(records), options.out))
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
