"""Measure how fast this machine multiplies matrices on one and two threads.

The matrices are 256×256 float32. Each thread multiplies its own matrices with a single-threaded product, so that two
threads never wait for each other: an upper bound for programs made of such products. Prints one JSON line.
"""

import argparse
import json
import os
import threading
import time

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402

SIZE = 256
PER_CALL = 2 * SIZE**3


def work(until: float, counts: list[int]) -> None:
    """Multiply until `time.perf_counter()` is `until`; append the number."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, SIZE, SIZE), np.float32)
    out, count = np.empty_like(a), 0
    while time.perf_counter() < until:
        for _ in range(50):
            np.matmul(a, b, out=out)
        count += 50
    counts.append(count)


def gflops(threads: int, seconds: float) -> float:
    """Return 10⁹ floating-point operations per second of all threads together."""
    counts: list[int] = []
    begun = time.perf_counter()
    workers = [threading.Thread(target=work, args=(begun + seconds, counts)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) * PER_CALL / (time.perf_counter() - begun) / 1e9


def main() -> None:
    """Measure both, after a short warm-up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    seconds = parser.parse_args().seconds
    gflops(1, 0.2)
    print(json.dumps({"gflops": {str(threads): gflops(threads, seconds) for threads in (1, 2)}}))


if __name__ == "__main__":
    main()
