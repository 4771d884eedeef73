# The rules of the source tree as a test: `tidy.py ROOT` prints every violation and fails if there is one.
import os
import re
import sys

from coroutine_lint import coroutine_faults
from cpp_text import blanked, bracket_pairs, line_of, without_directives

MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 70
LAID_OUT_BY_HAND = re.compile(r"// clang-format off.*?(// clang-format on|\Z)", re.S)
MAX_COLUMNS = {"hpp": 100, "cpp": 100, "py": 120, "sh": 130, "cmake": 130}
FOLDERS = ["include", "src", "tests", "examples", "benchmarks", "cmake", "docs", ".ci"]

# Includes go down only; siblings on a floor never include each other.
FLOORS = [
    ["base"],
    ["os", "async", "codec"],
    ["process", "audit", "mcmc", "alloc", "tasks", "cache", "limits", "monitor"],
    ["pool"],
    ["inference", "governor", "manager", "cluster", "bridge"],
    ["http", "telemetry"],
]
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
# Folders that use less than all that lies below them.
ONLY = {
    "pool": {"audit", "process", "codec", "async", "os", "base"},
    "alloc": {"base"},
    "mcmc": {"base"},
}
HIDDEN_LIBRARIES = re.compile(r"^(spdlog/|fmt/|hwloc|sqlite3|cuda|nvml|curand|cublas)")
LEFTOVERS = re.compile(r"\b(" + "|".join(["FIX" + "ME", "TO" + "DO", "XX" + "X", "HA" + "CK"]) + r")\b")
MACHINE = re.compile(
    "|".join([r"(?<![\w.])/wo" + "rk/", r"\.\./sha" + "red", r"\bdeb\.deb" + r"ian\.org", r"\bpypi\.o" + "rg"])
)
COMMENT = {"hpp": "// ", "cpp": "// ", "py": "# ", "sh": "# ", "cmake": "# ", "txt": "# "}

RULES = {
    "purpose": "the first line is a comment that says what the file is for",
    "pragma-once": "headers have #pragma once",
    "length": "files have at most %d lines" % MAX_FILE_LINES,
    "function-length": "functions have at most %d lines" % MAX_FUNCTION_LINES,
    "columns": "lines have at most 100 columns in C++",
    "leftover": "no marker of unfinished work",
    "machine": "no path or host of one machine",
    "floor": "includes go down the floors only",
    "unknown-folder": "every component folder has a floor",
    "detail": "detail/ and src/ headers belong to their folder",
    "hidden-library": "implementation libraries stay out of public headers",
    "pure": "mcmc, alloc and *_fsm.hpp include no Asio",
    "coroutine": "no coroutine code that g++ 12 compiles wrongly",
    "mirror": "every public header has a test of its name",
}


class Tree:
    def __init__(self, root):
        self.root = root
        self.files = {}
        for folder in FOLDERS:
            for at, folders, names in os.walk(os.path.join(root, folder)):
                folders[:] = [f for f in folders if f not in ("__pycache__", "data", "build")]
                for name in names:
                    path = os.path.relpath(os.path.join(at, name), root)
                    if kind(path) or name == "run":
                        with open(os.path.join(root, path), encoding="utf-8") as file:
                            self.files[path] = file.read()

    def untested(self):
        """Public headers that may lack a test: path -> reason."""
        text = self.files.get("tests/tidy/untested_headers.txt", "")
        rows = [line.split(":", 1) for line in text.splitlines() if line and line[0] != "#"]
        return {row[0].strip(): row[1].strip() if len(row) > 1 else "" for row in rows}


def kind(path):
    ending = path.rsplit(".", 1)[-1]
    return ending if ending in ("hpp", "cpp", "py", "sh", "cmake", "txt", "md") else ""


def component(path):
    """include/reeve/pool/x.hpp and src/pool/x.cpp -> pool; the top header and src/asio.cpp -> ''."""
    parts = path.split("/")
    if parts[0] == "include":
        return parts[2] if len(parts) > 3 else ""
    if parts[0] in ("src", "tests", "examples", "benchmarks"):
        return parts[1] if len(parts) > 2 else ""
    return ""


def includes(text):
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1)


def check_text(path, text):
    ending = kind(path)
    lines = text.split("\n")
    first = lines[1] if lines[0].startswith("#!") and len(lines) > 1 else lines[0]
    if ending in COMMENT and text.strip() and not re.match(re.escape(COMMENT[ending]) + r"\S", first):
        yield 1, "purpose", "begin with '%swhat this file is for'" % COMMENT[ending]
    if ending != "md" and text.count("\n") > MAX_FILE_LINES:
        yield 1, "length", "%d lines: split it" % text.count("\n")
    by_hand = set()
    for block in LAID_OUT_BY_HAND.finditer(text):
        by_hand.update(range(line_of(text, block.start()), line_of(text, block.end()) + 1))
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_COLUMNS.get(ending, 1000) and number not in by_hand:
            yield number, "columns", "%d columns" % len(line)
        if LEFTOVERS.search(line):
            yield number, "leftover", line.strip()
        if MACHINE.search(line):
            yield number, "machine", line.strip()


def check_functions(path, text):
    code = without_directives(blanked(text))
    pairs = bracket_pairs(code)
    skip_to = 0
    tail = re.compile(r"\)\s*((const|noexcept|override|final|mutable|&&?|try)\s*)*(->[\w:<>,\s&*]+)?$")
    for match in re.finditer(r"\{", code):
        at = match.start()
        if at < skip_to or at not in pairs or not tail.search(code[max(0, at - 200) : at].rstrip()):
            continue
        skip_to = pairs[at]
        length = line_of(code, pairs[at]) - line_of(code, at) + 1
        body = text[at : pairs[at]]  # a table, a case per line, or a random walk over every verb
        by_hand = "// clang-format off" in body or "// tidy: one table" in body
        if length > MAX_FUNCTION_LINES and not by_hand:
            yield line_of(code, at), "function-length", "%d lines: split it" % length


def check_includes(path, text):
    own, top = component(path), path.split("/")[0]
    header = path.startswith("include/")
    pure = own in ("mcmc", "alloc") or path.endswith("_fsm.hpp")
    for number, name in includes(text):
        parts = name.split("/")
        if header and HIDDEN_LIBRARIES.match(name):
            yield number, "hidden-library", "%s in a public header: keep it in src/" % name
        if pure and top != "tests" and name.startswith("boost/asio"):
            yield number, "pure", "%s: this is a value or function without executors" % name
        other = ""
        private = False
        if parts[0] == "reeve" and len(parts) > 2:
            other, private = parts[1], "detail" in parts
        elif len(parts) > 1 and parts[0] in FLOOR_OF and top in ("src", "tests"):
            other, private = parts[0], True
        if not other or other == own:
            continue
        if (own, other) == ("pool", "process"):
            continue  # the pool drives wardens and channels: their src/ headers are its tools
        if private and own:
            yield number, "detail", "%s belongs to %s" % (name, other)
        if top in ("include", "src") and own in FLOOR_OF:
            below = FLOOR_OF.get(other, 99) < FLOOR_OF[own]
            if not below or other not in ONLY.get(own, {other}):
                yield number, "floor", "%s may not include %s (%s)" % (own, other, name)


def check_file(path, text):
    yield from check_text(path, text)
    if kind(path) not in ("hpp", "cpp"):
        return
    if path.endswith(".hpp") and "\n#pragma once\n" not in text:
        yield 1, "pragma-once", "add it below the first line"
    own = component(path)
    if own and path.startswith(("include", "src")) and own not in FLOOR_OF:
        yield 1, "unknown-folder", "'%s' is on no floor: add it to FLOORS in tests/tidy/tidy.py" % own
    yield from check_functions(path, text)
    yield from check_includes(path, text)
    if "co_await" in text:
        for line, trap, message in coroutine_faults(text):
            yield line, "coroutine", "trap %s: %s" % (trap, message)


def check_mirror(tree):
    excused = tree.untested()
    for path, text in sorted(tree.files.items()):
        match = re.match(r"include/reeve/((\w+)/(\w+)\.hpp)$", path)
        if not match or match.group(2) == "detail":
            continue
        only_includes = not re.sub(r"#[^\n]*", "", blanked(text)).strip()
        tested = "tests/%s/%s_test.cpp" % (match.group(2), match.group(3)) in tree.files
        if not tested and not only_includes and match.group(1) not in excused:
            yield path, 1, "mirror", "no tests/%s/%s_test.cpp" % (match.group(2), match.group(3))
        if tested and match.group(1) in excused:
            yield path, 1, "mirror", "has a test now: strike it from tests/tidy/untested_headers.txt"
    for header, reason in excused.items():
        if not reason or "include/reeve/" + header not in tree.files:
            where = "tests/tidy/untested_headers.txt"
            yield where, 1, "mirror", "'%s' has no reason or does not exist" % header


def check_tree(root):
    """Yields (path, line, rule, message)."""
    tree = Tree(root)
    for path, text in sorted(tree.files.items()):
        for line, rule, message in check_file(path, text):
            yield path, line, rule, message
    yield from check_mirror(tree)


def main(root):
    count = 0
    for path, line, rule, message in check_tree(root):
        print("%s:%d: [%s] %s" % (path, line, rule, message))
        count += 1
    files = len(Tree(root).files)
    print("%d violations in %d files" % (count, files))
    return 1 if count or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
