# Runs a program and compares its output with what its source says: `expect.py SOURCE PROGRAM ARGUMENTS...`.
# The lines between `// [output]` and `// [/output]` must be the whole output. `...` in a line stands for any text,
# a line of `...` alone for any lines.
import re
import subprocess
import sys


def expected_lines(source):
    with open(source, encoding="utf-8") as file:
        found = re.search(r"^// \[output\]\n(.*?)^// \[/output\]$", file.read(), re.M | re.S)
    if not found:
        sys.exit("%s has no // [output] region" % source)
    return [re.sub("^// ?", "", line) for line in found.group(1).splitlines()]


def pattern(lines):
    parts = []
    for line in lines:
        text = ".*".join(re.escape(part) for part in line.split("..."))
        parts.append(r"(?:[^\n]*\n)*?" if line == "..." else text.replace(".*", r"[^\n]*") + r"\n")
    return "".join(parts)


def main():
    source, command = sys.argv[1], sys.argv[2:]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=110, check=False)
    output = run.stdout.decode("utf-8", "replace")
    print(output, end="")
    if run.returncode != 0:
        sys.exit("FAILED: status %d" % run.returncode)
    lines = expected_lines(source)
    if not re.fullmatch(pattern(lines), output):
        sys.exit("FAILED: the output is not\n" + "\n".join("  " + line for line in lines))


main()
