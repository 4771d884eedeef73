# The tidy rules must be able to fail: every rule finds its seeded violation, and clean code passes.
import os
import sys
import tempfile

from tidy import RULES, check_tree

HEAD = "// Purpose.\n#pragma once\n"
LONG = "void f() {\n" + "  g();\n" * 80 + "}\n"


def coroutine(body):
    return {"src/pool/x.cpp": "// Purpose.\nTask f() {\n  int n = 0;\n  %s\n}\n" % body}


# rule -> trees that break it
BROKEN = [
    ("purpose", {"src/base/x.cpp": "#include <vector>\n"}),
    ("pragma-once", {"src/base/x.hpp": "// Purpose.\nint f();\n"}),
    ("length", {"src/base/x.cpp": "// Purpose.\n" + "int a;\n" * 401}),
    ("function-length", {"src/base/x.cpp": "// Purpose.\n" + LONG}),
    ("columns", {"src/base/x.cpp": "// Purpose.\n//" + "x" * 100 + "\n"}),
    ("leftover", {"src/base/x.cpp": "// Purpose.\n// TO" + "DO later\n"}),
    ("machine", {"src/base/x.cpp": '// Purpose.\nauto p = "/wo' + 'rk/data";\n'}),
    ("floor", {"src/base/x.cpp": "// Purpose.\n#include <reeve/os/fd.hpp>\n"}),
    ("floor", {"src/os/x.cpp": "// Purpose.\n#include <reeve/codec/codec.hpp>\n"}),
    ("floor", {"src/pool/x.cpp": "// Purpose.\n#include <reeve/mcmc/nuts.hpp>\n"}),
    ("unknown-folder", {"src/novel/x.cpp": "// Purpose.\n"}),
    ("detail", {"src/pool/x.cpp": "// Purpose.\n#include <reeve/os/detail/x.hpp>\n"}),
    ("detail", {"tests/pool/x_test.cpp": '// Purpose.\n#include "os/private.hpp"\n'}),
    ("hidden-library", {"include/reeve/os/detail/x.hpp": HEAD + "#include <spdlog/spdlog.h>\n"}),
    ("pure", {"src/alloc/x.cpp": "// Purpose.\n#include <boost/asio/post.hpp>\n"}),
    ("pure", {"src/pool/slot_fsm.hpp": HEAD + "#include <boost/asio/post.hpp>\n"}),
    ("coroutine", coroutine("if (co_await g()) co_return;")),
    ("coroutine", coroutine("while (n > 0 && !co_await g()) {}")),
    ("coroutine", coroutine("switch (co_await g()) {}")),
    ("coroutine", coroutine("co_await run([s] { use(s); });")),
    ("coroutine", coroutine("co_await run(1,\n      [=]() mutable { use(s); });")),
    ("coroutine", coroutine("co_await f(Opts{.name = s});")),
    ("coroutine", coroutine("co_await f({1, 2});")),
    ("coroutine", coroutine("co_return Agg{co_await g()};")),
    ("coroutine", coroutine("auto r = n ? co_await g() : V{};")),
    ("mirror", {"include/reeve/base/x.hpp": HEAD + "int f();\n"}),
    ("mirror", {"tests/tidy/untested_headers.txt": "# Purpose.\nbase/gone.hpp: reason\n"}),
]
CLEAN = [
    {"include/reeve/base/x.hpp": HEAD + "int f();\n", "tests/base/x_test.cpp": "// Purpose.\n"},
    {"src/pool/x.cpp": "// Purpose.\n#include <reeve/base/x.hpp>\n#include <reeve/process/x.hpp>\n"},
    coroutine("auto r = co_await g(); if (r) co_return;"),
    coroutine("if (int v = co_await g(); v) co_return;"),
    coroutine("co_await run([&] { use(n); });"),
    coroutine("co_await run([this] { use(n); });"),
    coroutine("co_await wait(std::chrono::milliseconds{3});"),
    coroutine("spawn(ex, [s]() -> Task<void> { co_await g(); }, detached);"),
    coroutine("auto t = run([s] { use(s); }); co_await std::move(t);"),
    coroutine("co_await f(Pair{1, 2});  // lint: trivial"),
]


def rules_found(files):
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        return {rule: message for _, _, rule, message in check_tree(root)}


faults = []
for rule, files in BROKEN:
    if rule not in rules_found(files):
        faults.append("rule '%s' does not see %r" % (rule, files))
for files in CLEAN:
    found = rules_found(files)
    if found:
        faults.append("%r is clean, but: %r" % (files, found))
for rule in set(RULES) - {rule for rule, _ in BROKEN}:
    faults.append("rule '%s' has no seeded violation" % rule)
print("\n".join(faults) or "%d violations seen, %d clean trees pass" % (len(BROKEN), len(CLEAN)))
sys.exit(1 if faults else 0)
