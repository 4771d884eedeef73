# Every test that docs/promises.md names exists: `promises.py docs/promises.md FOLDER_OF_TEST_PROGRAMS`.
import fnmatch
import os
import re
import subprocess
import sys


def tests_of(program):
    """Suite.name of each test, as --gtest_filter would match it."""
    command = [program, "--gtest_list_tests"]
    listed = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True).stdout
    names, suite = [], ""
    for line in listed.splitlines():
        word = line.split("#")[0].rstrip()
        if line.startswith("  "):
            names.append(suite + word.strip())
        elif word.endswith("."):
            suite = word
    return names


def main():
    page, folder = sys.argv[1:]
    with open(page, encoding="utf-8") as file:
        text = file.read()
    known, missing, seen = {}, [], 0
    for component, patterns in re.findall(r"`(?:D )?(?:T|ASAN|TSAN) ([a-z]+) '([^']+)'`", text):
        program = os.path.join(folder, "reeve_%s_tests" % component)
        if not os.path.exists(program):
            continue  # this component is left out here
        if program not in known:
            known[program] = tests_of(program)
        for pattern in patterns.split(":"):
            seen += 1
            if not any(fnmatch.fnmatchcase(name, pattern) for name in known[program]):
                missing.append("%s %s" % (component, pattern))
    for name in missing:
        print("%s names a test that does not exist: %s" % (page, name))
    print("%d patterns of tests, %d without a test" % (seen, len(missing)))
    return 1 if missing or seen == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
