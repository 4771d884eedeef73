# Writes the figures of a benchmark run into a page: `page.py build/bench.json docs/benchmarks.md`.
import json
import re
import sys

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"


def cell(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    if isinstance(value, float):
        return "{:,.0f}".format(value) if abs(value) >= 10000 else "%.3g" % value
    return str(value)


def table(records):
    yield "| figure | ours | goal | met | peer | the peer's | ratio |"
    yield "|---|---|---|---|---|---|---|"
    figure = goal = None
    for record in records:
        ours = [record["figure"], "%s %s" % (cell(float(record["value"])), record["unit"]), cell(record["goal"]),
                cell(record["met"])]
        if record["figure"] == figure:  # once what all records of a figure share
            ours = ["", ""] + ([""] * 2 if record["goal"] == goal else ours[2:])
        figure, goal = record["figure"], record["goal"]
        ratio = "" if record["ratio"] is None else cell(float(record["ratio"])) + "x"
        value = None if record["peer_value"] is None else float(record["peer_value"])
        yield "| %s |" % " | ".join(ours + [cell(record["peer"]), cell(value), ratio])


def main():
    figures, page = sys.argv[1:]
    with open(figures, encoding="utf-8") as file:
        records = json.load(file)
    parts = []
    for component in dict.fromkeys(record["component"] for record in records):
        rows = [record for record in records if record["component"] == component]
        parts += ["### " + component, "", *table(rows), ""]
    with open(page, encoding="utf-8") as file:
        text = file.read()
    filled = BEGIN + "\n" + "\n".join(parts) + END
    changed, count = re.subn(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: filled, text, flags=re.S)
    if count != 1:
        sys.exit("page.py: %s has no place for figures: '%s' and '%s'" % (page, BEGIN, END))
    with open(page, "w", encoding="utf-8") as file:
        file.write(changed)


if __name__ == "__main__":
    main()
