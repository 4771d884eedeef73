# Python's ways to have a pool for each of ten data sets: one JSON line {peer, key, value, unit} per figure.
import multiprocessing
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from support.peers import emit, loky_module, median  # noqa: E402

WORKERS = 4
DATA_SETS = 10
ITEMS = [0.1 + 0.002 * i for i in range(400)]


def evaluate(x):
    for _ in range(435):  # as long as the C++ programs compute: about 16 us
        x = 3.7 * x * (1 - x)
    return x


def milliseconds(call):
    begin = time.perf_counter()
    call()
    return (time.perf_counter() - begin) * 1e3


def nothing(_):
    return 1


def measure_pool_per_call():
    peer = "multiprocessing.Pool per call"

    def ready():
        pool = multiprocessing.Pool(WORKERS)
        pool.map(nothing, range(WORKERS), chunksize=1)
        return pool

    firsts, endings = [], []
    for _ in range(5):
        begin = time.perf_counter()
        pool = ready()
        firsts.append((time.perf_counter() - begin) * 1e3)

        def end():
            pool.close()
            pool.join()

        endings.append(milliseconds(end))

    def ten_data_sets():
        for _ in range(DATA_SETS):
            with multiprocessing.Pool(WORKERS) as one:
                one.map(evaluate, ITEMS, chunksize=20)

    emit(peer, "manager_first_pool", median(firsts), "ms")
    emit(peer, "manager_fresh_overhead", median(firsts) + median(endings), "ms")
    emit(peer, "manager_ten_fresh", median([milliseconds(ten_data_sets) for _ in range(3)]), "ms")


def measure_loky():
    loky = loky_module()
    if loky is None:
        return
    peer = "loky reusable executor"

    def ready():
        pool = loky.get_reusable_executor(max_workers=WORKERS)
        list(pool.map(nothing, range(WORKERS)))

    firsts = []
    for _ in range(3):
        firsts.append(milliseconds(ready))
        loky.get_reusable_executor(max_workers=WORKERS).shutdown(wait=True)
    emit(peer, "manager_first_pool", median(firsts), "ms")

    def ten_data_sets():
        for _ in range(DATA_SETS):
            pool = loky.get_reusable_executor(max_workers=WORKERS)
            list(pool.map(evaluate, ITEMS, chunksize=20))

    ten_data_sets()
    emit(peer, "manager_ten_reused", median([milliseconds(ten_data_sets) for _ in range(3)]), "ms")
    rounds = 2000
    begin = time.perf_counter()
    for _ in range(rounds):
        loky.get_reusable_executor(max_workers=WORKERS)
    emit(peer, "manager_look_up", (time.perf_counter() - begin) / rounds * 1e6, "us")
    pool = loky.get_reusable_executor(max_workers=WORKERS)
    samples = []
    for _ in range(500):
        begin = time.perf_counter()
        pool.submit(nothing, 0).result()
        samples.append((time.perf_counter() - begin) * 1e6)
    emit(peer, "manager_submit", median(samples), "us")


if __name__ == "__main__":
    measure_pool_per_call()
    measure_loky()
