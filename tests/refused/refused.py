# Each wrong program of cases.cpp is refused by one sentence, and that is the compiler's first error.
#
# refused.py CXX ID SCRATCH FLAG...    ID is GNU or Clang
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
CASE = re.compile(r"^#(?:el)?if defined\(REEVE_CASE_(\w+)\)\s+// (.+)$", re.M)
ERROR = re.compile(r"\berror: (.*)")


def precompiled(compiler, kind, scratch, flags):
    """The headers, compiled once: flags that use them."""
    headers = [line for line in (HERE / "cases.cpp").read_text().splitlines()
               if line.startswith("#include")]
    header = scratch / "headers.hpp"
    header.write_text("\n".join(headers) + "\n")
    ready = scratch / ("headers.hpp.gch" if kind == "GNU" else "headers.pch")
    subprocess.run([compiler, *flags, "-x", "c++-header", str(header), "-o", str(ready)], check=True)
    return ["-include", str(header)] if kind == "GNU" else ["-include-pch", str(ready)]


def fault_of(name, sentence, command):
    done = subprocess.run([*command, f"-DREEVE_CASE_{name}", str(HERE / "cases.cpp")],
                          stderr=subprocess.PIPE, text=True, timeout=300)
    errors = ERROR.findall(done.stderr)
    if sentence == "compiles":
        return None if done.returncode == 0 else f"it must compile:\n{done.stderr}"
    if done.returncode == 0:
        return "it was compiled"
    if not errors or "reeve: " + sentence not in errors[0]:
        return f"the first error is not '{sentence}':\n" + "\n".join(errors[:5])
    told = [text for text in errors if "reeve: " in text]
    if len(told) != 1:
        return "more than one sentence for one mistake:\n" + "\n".join(told)
    return None


def main():
    compiler, kind, scratch, *flags = sys.argv[1:]
    scratch = pathlib.Path(scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    flags = ["-std=c++20", "-O0", *[flag for flag in flags if flag not in ("-I", "-D")]]
    if kind == "GNU":
        flags.append("-fmax-errors=20")
    command = [compiler, *flags, *precompiled(compiler, kind, scratch, flags), "-fsyntax-only"]
    cases = CASE.findall((HERE / "cases.cpp").read_text())
    if len(cases) < 20:
        sys.exit("refused.py: the cases were not found")
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        faults = list(pool.map(lambda case: fault_of(*case, command), cases))
    for (name, _), fault in zip(cases, faults):
        print(f"{'FAILED' if fault else 'ok    '} {name}")
        if fault:
            print("  " + fault.replace("\n", "\n  "))
    sys.exit(1 if any(faults) else 0)


main()
