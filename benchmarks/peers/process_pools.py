# Python's process pools doing what reeve's benchmarks do: one JSON line {peer, key, value, unit} per figure.
import concurrent.futures
import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from support.peers import emit, loky_module  # noqa: E402


def echo(data):
    return data


def size(data):
    return len(data)


def endless(_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as native code that never returns
    while True:
        time.sleep(3600)


def leave_grandchildren(path):
    for _ in range(8):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                with open(path, "a", encoding="utf-8") as file:
                    file.write("%d\n" % os.getpid())
                while True:
                    signal.pause()
            os._exit(0)
    while True:
        signal.pause()


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def milliseconds_until(condition, patience=20.0):
    begin = time.perf_counter()
    while not condition():
        if time.perf_counter() - begin > patience:
            raise TimeoutError("not within %g s" % patience)
        time.sleep(0.0002)
    return (time.perf_counter() - begin) * 1e3


def timed(call, count):
    samples = []
    for _ in range(count):
        begin = time.perf_counter()
        call()
        samples.append(time.perf_counter() - begin)
    samples.sort()
    return samples


def measure(peer, create, submit, map_many, close, counts=(4, 16, 64)):
    """submit(pool, f, x) -> object with get-like call; map_many(pool, f, items)."""
    for workers in counts:
        begin = time.perf_counter()
        pool = create(workers)
        for waiting in [submit(pool, echo, b"") for _ in range(workers)]:
            waiting()
        emit(peer, "create_%d" % workers, (time.perf_counter() - begin) * 1e3, "ms")
        close(pool)
    pool = create(2)
    small = b"x" * 64
    timed(lambda: submit(pool, echo, small)(), 200)
    samples = timed(lambda: submit(pool, echo, small)(), 2000)
    emit(peer, "call_64b_p50", samples[len(samples) // 2] * 1e6, "us")
    emit(peer, "call_64b_p99", samples[len(samples) * 99 // 100] * 1e6, "us")
    begin = time.perf_counter()
    flight = [submit(pool, echo, small) for _ in range(32)]
    for _ in range(5000):
        flight.pop(0)()
        flight.append(submit(pool, echo, small))
    for waiting in flight:
        waiting()
    emit(peer, "in_flight_32", 5032 / (time.perf_counter() - begin), "1/s")
    begin = time.perf_counter()
    map_many(pool, abs, range(100000))
    emit(peer, "map_trivial", 100000 / (time.perf_counter() - begin), "1/s")
    for name, amount, count in (("1mb", 1 << 20, 50), ("64mb", 64 << 20, 5)):
        data = b"x" * amount
        samples = timed(lambda: submit(pool, size, data)(), count)
        emit(peer, "argument_%s_p50" % name, samples[len(samples) // 2] * 1e3, "ms")
    close(pool)


def measure_multiprocessing():
    measure(
        "multiprocessing.Pool",
        multiprocessing.Pool,
        lambda pool, f, x: pool.apply_async(f, (x,)).get,
        lambda pool, f, items: pool.map(f, items, chunksize=1000),
        lambda pool: (pool.terminate(), pool.join()),
    )


def measure_executor(peer, create, counts=(4, 16, 64)):
    measure(
        peer,
        create,
        lambda pool, f, x: pool.submit(f, x).result,
        lambda pool, f, items: list(pool.map(f, items, chunksize=1000)),
        lambda pool: pool.shutdown(),
        counts,
    )


def measure_standard_executor():
    measure_executor("ProcessPoolExecutor", lambda n: concurrent.futures.ProcessPoolExecutor(max_workers=n))


def measure_loky():
    loky = loky_module()
    if loky is None:
        return
    # 64 of its workers take up to a minute.
    measure_executor("loky", lambda workers: loky.ProcessPoolExecutor(max_workers=workers), (4, 16))
    pool = loky.get_reusable_executor(max_workers=2)
    pool.submit(echo, 1).result()
    begin = time.perf_counter()
    try:
        pool.submit(os.kill, pool.submit(os.getpid).result(), signal.SIGKILL).result()
    except Exception:  # the executor is broken now, as it should be
        pass
    loky.get_reusable_executor(max_workers=2).submit(echo, 1).result()
    emit("loky", "worker_replaced", (time.perf_counter() - begin) * 1e3, "ms")


def measure_deadline(peer, pid, submit):
    """submit(f, x, timeout) -> a call that raises at the limit; `pid` is the only worker's."""
    begin = time.perf_counter()
    try:
        submit(endless, 1, 0.2)()
    except Exception:  # each has its own
        pass
    if time.perf_counter() - begin < 0.2:
        raise RuntimeError("it gave up before the limit")
    milliseconds_until(lambda: not alive(pid))
    emit(peer, "deadline_to_dead", (time.perf_counter() - begin - 0.2) * 1e3, "ms")


def measure_tree(peer, pid, run_to_its_end):
    """How many of a task's grandchildren live one second after the task was ended for good."""
    with tempfile.NamedTemporaryFile() as file:

        def grandchildren():
            with open(file.name, encoding="utf-8") as lines:
                return [int(line) for line in lines]

        try:
            run_to_its_end(file.name, lambda: milliseconds_until(lambda: len(grandchildren()) == 8))
            milliseconds_until(lambda: not alive(pid))
            time.sleep(1)
            emit(peer, "grandchildren_left", sum(map(alive, grandchildren())), "processes")
        finally:
            for left in grandchildren():
                if alive(left):
                    os.kill(left, signal.SIGKILL)


def measure_limits(peer, create, submit, stop):
    """submit(pool, f, x, timeout) -> a call that waits for the result, or raises at the limit."""
    pool = create()
    pid = submit(pool, worker_pid, 1, 10)()
    measure_deadline(peer, pid, lambda f, x, timeout: submit(pool, f, x, timeout))
    pid = submit(pool, worker_pid, 1, 10)()

    def run_to_its_end(path, wait_for_all):
        waiting = submit(pool, leave_grandchildren, path, 1)
        wait_for_all()
        try:
            waiting()
        except Exception:  # the limit
            pass

    measure_tree(peer, pid, run_to_its_end)
    stop(pool)


def worker_pid(_):
    return os.getpid()


def measure_pebble():
    pebble = importlib.import_module("pebble")
    measure_limits(
        "pebble",
        lambda: pebble.ProcessPool(max_workers=1),
        lambda pool, f, x, timeout: pool.schedule(f, args=(x,), timeout=timeout).result,
        lambda pool: pool.stop(),
    )


def measure_billiard():
    billiard = importlib.import_module("billiard")
    measure_limits(
        "billiard",
        lambda: billiard.Pool(1, timeout=60),
        lambda pool, f, x, timeout: pool.apply_async(f, (x,), timeout=timeout).get,
        lambda pool: pool.terminate(),
    )


def measure_loky_tree():
    """loky has no limits: its strongest means is to end all its workers, with what they started."""
    loky = loky_module()
    if loky is None:
        return
    pool = loky.ProcessPoolExecutor(max_workers=1)

    def run_to_its_end(path, wait_for_all):
        pool.submit(leave_grandchildren, path)
        wait_for_all()
        pool.shutdown(wait=False, kill_workers=True)

    measure_tree("loky", pool.submit(worker_pid, 1).result(), run_to_its_end)


def measure_psutil():
    """The memory of 1,000 processes, looked at ten times a second: share of a core."""
    psutil = importlib.import_module("psutil")
    pids = []
    try:
        for _ in range(1000):
            pid = os.fork()
            if pid == 0:
                while True:
                    signal.pause()
            pids.append(pid)
        watched = [psutil.Process(pid) for pid in pids]
        before, rounds = time.process_time(), 20
        for _ in range(rounds):
            for process in watched:
                process.memory_info()
        emit("psutil", "watch_1000", (time.process_time() - before) / rounds * 10 * 100, "% of a core")
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)


def alone(name, measure, patience=180):
    """Measures in a process of its own: a peer that fails or hangs says so, and the rest goes on."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.setsid()
        try:
            measure()
        except ImportError:
            print("%s is not installed: its figures are left out" % name)
        except BaseException as error:  # noqa: B902
            print("%s failed: %s: %s" % (name, type(error).__name__, error))
        sys.stdout.flush()
        os._exit(0)
    try:
        milliseconds_until(lambda: not alive(child), patience)
    except TimeoutError:
        print("%s did not end within %g s" % (name, patience), flush=True)
    os.killpg(child, signal.SIGKILL)  # with workers that it left
    os.waitpid(child, 0)


if __name__ == "__main__":
    alone("psutil", measure_psutil)
    alone("multiprocessing", measure_multiprocessing)
    alone("ProcessPoolExecutor", measure_standard_executor)
    alone("loky", measure_loky)
    alone("loky", measure_loky_tree)
    alone("pebble", measure_pebble)
    alone("billiard", measure_billiard)
