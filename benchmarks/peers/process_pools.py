# Python's process pools doing what reeve's benchmarks do: one JSON line {peer, key, value, unit} per figure.
import concurrent.futures
import importlib
import multiprocessing
import os
import signal
import sys
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


def timed(call, count):
    samples = []
    for _ in range(count):
        begin = time.perf_counter()
        call()
        samples.append(time.perf_counter() - begin)
    samples.sort()
    return samples


def measure(peer, create, submit, map_many, close):
    """submit(pool, f, x) -> object with get-like call; map_many(pool, f, items)."""
    for workers in (4, 16):
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


def measure_executor(peer, create):
    measure(
        peer,
        create,
        lambda pool, f, x: pool.submit(f, x).result,
        lambda pool, f, items: list(pool.map(f, items, chunksize=1000)),
        lambda pool: pool.shutdown(),
    )


def measure_loky():
    loky = loky_module()
    if loky is None:
        return
    measure_executor("loky", lambda workers: loky.ProcessPoolExecutor(max_workers=workers))
    pool = loky.get_reusable_executor(max_workers=2)
    pool.submit(echo, 1).result()
    begin = time.perf_counter()
    try:
        pool.submit(os.kill, pool.submit(os.getpid).result(), signal.SIGKILL).result()
    except Exception:  # the executor is broken now, as it should be
        pass
    loky.get_reusable_executor(max_workers=2).submit(echo, 1).result()
    emit("loky", "worker_replaced", (time.perf_counter() - begin) * 1e3, "ms")


def measure_pebble():
    try:
        pebble = importlib.import_module("pebble")
    except ImportError:
        print("pebble is not installed: its figures are left out")
        return
    with pebble.ProcessPool(max_workers=1) as pool:
        pool.schedule(echo, args=(1,)).result()
        begin = time.perf_counter()
        try:
            pool.schedule(endless, args=(1,), timeout=0.2).result()
        except concurrent.futures.TimeoutError:
            emit("pebble", "deadline_to_dead", (time.perf_counter() - begin - 0.2) * 1e3, "ms")
        pool.stop()


def measure_psutil():
    """The memory of 1,000 processes, looked at ten times a second: share of a core."""
    try:
        psutil = importlib.import_module("psutil")
    except ImportError:
        print("psutil is not installed: its figure is left out")
        return
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


if __name__ == "__main__":
    measure_psutil()
    measure_multiprocessing()
    measure_executor("ProcessPoolExecutor", lambda n: concurrent.futures.ProcessPoolExecutor(max_workers=n))
    measure_loky()
    measure_pebble()
