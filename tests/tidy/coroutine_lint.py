# Finds coroutine code that g++ 12 compiles wrongly without a word; ways around it: docs/design/coroutine-traps.md.
#   A: co_await in a condition: the coroutine's whole body may be skipped.
#   B: a closure with a by-value capture, or a braced temporary, in an expression that contains co_await: the
#      temporary is copied bitwise into the frame (double free unless it is trivially copyable).
#   C: an initializer list in such an expression: does not compile.
# `coroutine_lint.py FILE...` looks at sources of any project.
# A line with the comment `lint: trivial` promises that the temporary is trivially copyable or has a constructor.
import re
import sys

from cpp_text import blanked, bracket_pairs, full_expression, line_of, without_directives

CONDITION = re.compile(r"\b(if|while|switch|for)\b(?:\s*constexpr)?\s*\(")
# Types whose braced temporaries are trivially copyable.
TRIVIAL = re.compile(
    r"(seconds|minutes|hours|duration|time_point|span|string_view|ByteSize|_t|\bint|\bdouble|\bbool|byte)"
    r"\s*(<[^<>]*>)?$"
)
LAMBDA_TAIL = re.compile(r"(\]|\)|\bmutable|\bnoexcept|\)[\w\s]*->\s*[\w:<>,\s&*()]+)$")


def condition_faults(code, pairs):
    for match in CONDITION.finditer(code):
        begin = match.end() - 1
        if begin not in pairs:
            continue
        parts, at, start = [], begin + 1, begin + 1
        while at < pairs[begin]:
            if code[at] in "([{":
                at = pairs.get(at, at)
            elif code[at] == ";":
                parts.append(code[start:at])
                start = at + 1
            at += 1
        parts.append(code[start : pairs[begin]])
        if match.group(1) == "for":
            condition = parts[1] if len(parts) == 3 else ""
        else:
            condition = parts[-1]
        if re.search(r"\bco_await\b", without_closures(condition)):
            yield begin, "A", "co_await in a condition: name the result first"


def without_closures(expression):
    pairs = bracket_pairs(expression)
    out, at = [], 0
    while at < len(expression):
        if expression[at] == "{" and LAMBDA_TAIL.search(expression[:at].rstrip()):
            at = pairs.get(at, at)
        out.append(expression[at])
        at += 1
    return "".join(out)


def by_value(captures):
    for capture in captures.split(","):
        capture = capture.strip()
        if capture and not capture.startswith("&") and capture != "this":
            return True
    return False


def temporary_faults(code, pairs, begin, end):
    at = begin
    while at < end:
        char, before = code[at], code[begin:at].rstrip()
        if char == "[" and not re.search(r"[\w\])\"]$", before) and at in pairs:
            inside = code[at + 1 : pairs[at]]
            if inside.startswith("["):
                at = pairs[at] + 1
                continue
            after = code[pairs[at] + 1 : end].lstrip()
            if after[:1] in ("(", "{", "<") or after.startswith("mutable"):
                if by_value(inside):
                    yield at, "B", "closure with a by-value capture beside co_await: name it first"
                at = pairs[at] + 1
                continue
        if char == "{" and at in pairs:
            if LAMBDA_TAIL.search(before):
                at = pairs[at] + 1
                continue
            if not before or before[-1] in "(,{=?:":
                yield at, "C", "braced list beside co_await: name the value first"
            elif not TRIVIAL.search(before):
                yield at, "B", "braced temporary beside co_await: name it first"
        at += 1


def coroutine_faults(text):
    """Yields (line, trap, message)."""
    code = without_directives(blanked(text))
    pairs = bracket_pairs(code)
    lines = text.split("\n")
    found = set()
    for at, trap, message in condition_faults(code, pairs):
        found.add((line_of(code, at), trap, message))
    for match in re.finditer(r"\bco_await\b", code):
        begin, end = full_expression(code, pairs, match.start())
        for at, trap, message in temporary_faults(code, pairs, begin, end):
            found.add((line_of(code, at), trap, message))
    for line, trap, message in sorted(found):
        if "lint: trivial" not in lines[line - 1]:
            yield line, trap, message


def main():
    faults = 0
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            for line, trap, message in coroutine_faults(file.read()):
                print("%s:%d: trap %s: %s" % (path, line, trap, message))
                faults += 1
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
