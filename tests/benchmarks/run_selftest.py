# Ratios, goals and their verdicts as benchmarks/run.py makes them of rows, and the page made of those.
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "benchmarks"))
import page  # noqa: E402
import run  # noqa: E402


def records(row, *peers):
    whole = {"component": "pool", "figure": "f", "unit": "us", **row}
    return list(run.records_of(whole, [dict(zip(("peer", "key", "value", "unit"), peer)) for peer in peers]))


def ratio(unit, ours, theirs, **more):
    (record,) = records({"value": ours, "unit": unit, "peer": "other", "peer_value": theirs, **more})
    return record["ratio"]


class Direction(unittest.TestCase):
    def test_rates_without_a_goal_are_better_higher(self):
        for unit in ("1/s", "k/s", "M/s", "GB/s", "x/s", "ESS/s"):
            self.assertEqual(ratio(unit, 520.0, 10.0), 52, unit)

    def test_times_and_amounts_without_a_goal_are_better_lower(self):
        for unit in ("s", "ms", "us", "ns", "B", "MB", "%", "% of a core", "x", "1", ""):
            self.assertEqual(ratio(unit, 10.0, 520.0), 52, unit)

    def test_a_row_that_says_it_decides(self):
        self.assertEqual(ratio("1/s", 2.0, 8.0, goal=3, better="lower"), 4)
        self.assertEqual(ratio("1", 8.0, 2.0, goal=3, better="higher"), 4)

    def test_nothing_is_divided_by_zero(self):
        self.assertIsNone(ratio("us", 0, 5.0))
        self.assertIsNone(ratio("1/s", 5.0, 0))


class Goals(unittest.TestCase):
    def test_of_the_figure(self):
        cases = ((7, "lower", True), (7.1, "lower", False), (7, "higher", True), (6, "higher", False))
        for value, better, met in cases:
            (record,) = records({"value": value, "goal": 7, "better": better})
            self.assertEqual((record["goal"], record["met"]), ("<= 7" if better == "lower" else ">= 7", met))
        (record,) = records({"value": 7})
        self.assertEqual((record["goal"], record["met"]), (None, None))

    def test_of_ratios_each_in_the_record_of_its_peer(self):
        row = {"value": 5.0, "goal": 7, "better": "lower", "peer_key": "call", "ratio_goals": {"loky": 17, "pool": 7}}
        found = records(row, ("loky", "call", 0.125, "ms"), ("pool", "call", 30.0, "us"), ("pool", "map", 1.0, "us"))
        self.assertEqual([list(record) for record in found], [run.KEYS] * 3)
        self.assertEqual(
            [(r["peer"], r["goal"], r["ratio"] and round(r["ratio"], 6), r["met"]) for r in found],
            [(None, "<= 7", None, True), ("loky", ">= 17x", 25, True), ("pool", ">= 7x", 6, False)],
        )

    def test_of_ratios_of_rates_without_another_goal(self):
        row = {"value": 300.0, "unit": "1/s", "peer_key": "calls", "ratio_goals": {"loky": 5}}
        (record,) = records(row, ("loky", "calls", 50.0, "1/s"))
        self.assertEqual((record["ratio"], record["met"]), (6, True))

    def test_a_peer_that_was_not_measured_proves_nothing(self):
        row = {"value": 5.0, "goal": 7, "better": "lower", "peer_key": "call", "ratio_goals": {"loky": 17}}
        self.assertEqual(
            [(r["peer"], r["goal"], r["ratio"], r["met"]) for r in records(row)],
            [(None, "<= 7", None, True), ("loky", ">= 17x", None, None)],
        )

    def test_a_peer_without_a_ratio_goal_keeps_the_goal_of_the_figure(self):
        row = {"value": 5.0, "goal": 7, "better": "lower", "peer_key": "call", "ratio_goals": {"loky": 17}}
        found = records(row, ("loky", "call", 100.0, "us"), ("pool", "call", 30.0, "us"))
        self.assertEqual([(r["peer"], r["goal"]) for r in found], [("loky", ">= 17x"), ("pool", "<= 7")])


class Page(unittest.TestCase):
    def test_shows_each_goal_once_and_every_one(self):
        row = {"value": 5.0, "goal": 7, "better": "lower", "peer_key": "call", "ratio_goals": {"loky": 17}}
        table = list(page.table(records(row, ("loky", "call", 30.0, "us")) + records({"value": 8, "figure": "g"})))
        self.assertEqual(table[2], "| f | 5 us | <= 7 | yes |  |  |  |")
        self.assertEqual(table[3], "|  |  | >= 17x | **no** | loky | 30 | 6x |")
        self.assertTrue(table[4].startswith("| g | 8 us |"))
        two = {"value": 5.0, "goal": 7, "better": "lower", "peer_key": "call"}
        table = list(page.table(records(two, ("a", "call", 30.0, "us"), ("b", "call", 40.0, "us"))))
        self.assertEqual(table[3], "|  |  |  |  | b | 40 | 8x |")


if __name__ == "__main__":
    unittest.main()
