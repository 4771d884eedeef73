# Which test holds which scenario: `scenarios.py ROOT` checks docs/design/pool-scenarios.md against the comments in the
# tests, `scenarios.py ROOT --write` brings the table up to date.
#
# `scenarios.py ROOT --cases PAGE FOLDER` checks a table whose header is `| case | test |`: every case names tests, and
# each of them is in FOLDER.
#
# A comment such as `// 24: ...`, `// 31, 44: ...` or `// Scenario 55: ...` names the scenarios of the next test, and of
# those that follow it without an empty line.
import re
import sys
from pathlib import Path

PAGE = "docs/design/pool-scenarios.md"
FOLDERS = ["tests/pool", "tests/process", "tests/async", "tests/codec", "tests/manager"]
TAG = re.compile(r"^\s*// (?:Scenario )?(?=\d)(.*)$")
NUMBERS = re.compile(r"(?:^|; |Scenario )(\d+(?:(?:,| and| to) \d+)*)(?=:|$)")
TEST = re.compile(r"^(?:TEST|TEST_F|TEST_P|RC_GTEST_PROP|RC_GTEST_FIXTURE_PROP)\((\w+),\s*(\w+)")
ROW = re.compile(r"^\| (\d+) \| (.*?) \| (.*?) \|$")


def numbers_of(text):
    found = []
    for group in NUMBERS.findall(text):
        spans = re.split(r",| and", group)
        for span in spans:
            ends = [int(n) for n in re.findall(r"\d+", span)]
            found += range(ends[0], ends[-1] + 1)
    return found


def tests_by_scenario(root):
    result = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).glob("*_test.cpp")):
            tagged, used = [], False
            for line in path.read_text().splitlines():
                tag = TAG.match(line)
                test = TEST.match(line)
                if tag and numbers_of(tag.group(1)):
                    tagged = numbers_of(tag.group(1)) if used else tagged + numbers_of(tag.group(1))
                    used = False
                elif test and not test.group(2).startswith("DISABLED_"):
                    for number in tagged:
                        tests = result.setdefault(number, [])
                        name = "%s.%s" % test.groups()
                        if name not in tests:
                            tests.append(name)
                    used = True
                elif not line and used:
                    tagged, used = [], False
    return result


def tests_in(folder):
    found = (TEST.match(line) for path in folder.glob("*_test.cpp") for line in path.read_text().splitlines())
    return {"%s.%s" % test.groups() for test in found if test and not test.group(2).startswith("DISABLED_")}


def check_cases(page, folder):
    there, cases, faults = tests_in(folder), 0, []
    lines = iter(page.read_text().splitlines())
    for line in lines:
        if line == "| case | test |":
            next(lines)
            break
    for line in lines:
        if not line.startswith("| "):
            break
        case, column = line.strip("| ").split(" | ")
        names = re.findall(r"`([^`]+)`", column)
        cases += 1
        if not names:
            faults.append("case '%s' has no test" % case)
        faults += ["case '%s' names %s, which is not there" % (case, name) for name in names if name not in there]
    if cases == 0:
        faults.append("%s has no table of cases" % page)
    print("\n".join(faults) if faults else "%d cases, each has its tests" % cases)
    return 1 if faults else 0


def main():
    root = Path(sys.argv[1])
    if sys.argv[2:3] == ["--cases"]:
        return check_cases(root / sys.argv[3], root / sys.argv[4])
    page = root / PAGE
    tests = tests_by_scenario(root)
    lines, seen, faults = [], set(), []
    for line in page.read_text().splitlines():
        row = ROW.match(line)
        if row:
            number, what, column = int(row.group(1)), row.group(2), row.group(3)
            seen.add(number)
            if number in tests:
                column = ", ".join("`%s`" % name for name in tests[number])
            elif "`" in column or not column.strip():
                column = "**none**"
            if "**none**" in column:
                faults.append("scenario %d has no test" % number)
            line = "| %d | %s | %s |" % (number, what, column)
        lines.append(line)
    faults += ["a test names scenario %d, which is not on the page" % n for n in sorted(set(tests) - seen)]
    text = "\n".join(lines) + "\n"
    if "--write" in sys.argv:
        page.write_text(text)
    elif text != page.read_text():
        faults.append("%s is out of date: run tests/pool/scenarios.py . --write" % PAGE)
    print("\n".join(faults) if faults else "%d scenarios, each has its tests" % len(seen))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
