# What the pages quote: `quotes.py ROOT` fails where a quoted block differs from its example; `--write` mends it.
#
# A quote is a fenced block below `<!-- quote: examples/pool/x.cpp [region] -->`; without a region it is the whole file
# up to its `// [output]`. A region lies between `// [region]` and `// [/region]`; the marks themselves are left out.
import os
import re
import sys
import textwrap

QUOTE = re.compile(r"(<!-- quote: (\S+)(?: \[(\w+)\])? -->\n```\w*\n)(.*?)(^```$)", re.M | re.S)
MARK = re.compile(r"^\s*// \[/?\w+\]\n", re.M)


def region(root, path, name):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        text = file.read()
    if not name:
        return MARK.sub("", text.split("// [output]\n")[0])
    found = re.search(r"^\s*// \[%s\]\n(.*?)^\s*// \[/%s\]$" % (name, name), text, re.M | re.S)
    if not found:
        raise SystemExit("%s has no region [%s]" % (path, name))
    lines = textwrap.dedent(found.group(1))
    if name == "output":
        lines = re.sub("^// ?", "", lines, flags=re.M)
    return MARK.sub("", lines)


def pages(root):
    yield os.path.join(root, "README.md")
    for folder, _, names in os.walk(os.path.join(root, "docs")):
        for name in sorted(names):
            if name.endswith(".md"):
                yield os.path.join(folder, name)


def main():
    root, write = sys.argv[1], "--write" in sys.argv
    quoted, faults = 0, 0
    for page in pages(root):
        with open(page, encoding="utf-8") as file:
            text = file.read()
        new = QUOTE.sub(lambda q: q.group(1) + region(root, q.group(2), q.group(3)) + q.group(5), text)
        quoted += len(QUOTE.findall(text))
        if text.count("<!-- quote:") != len(QUOTE.findall(text)):
            print("%s: a quote mark without a block below it" % os.path.relpath(page, root))
            faults += 1
        if new != text and not write:
            print("%s: a quote differs from its example; --write mends it" % os.path.relpath(page, root))
            faults += 1
        if new != text and write:
            with open(page, "w", encoding="utf-8") as file:
                file.write(new)
    print("%d quotes, %d faults" % (quoted, faults))
    return 1 if faults or not quoted else 0


sys.exit(main())
