"""What reporting costs: `channel.send` against a bare ``os.write`` of the same line, and `import bough` in CPU time.

Prints ratios of runs interleaved on one machine, in CPU time, so that a busy machine disturbs them less; absolute times
drift. The targets are 3.5x and 10 ms.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from time import thread_time

ROUNDS = 61
CALLS = 2000
STARTS = 25
SDK = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "sdk")


def send_ratio(kpi: bool) -> tuple[float, float, float]:
    """Return the median ratio, and the medians of both in microseconds per call."""
    import bough

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        job = bough.start_job()
        channel = job.create_channel("kpi" if kpi else "accuracy", kpi=kpi)
        line = b'["p",123456,1763644191.123456,"accuracy",1234,0.9712345678901234]\n'
        file = os.open("bare", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        pairs = [(_time_sends(channel), _time_writes(file, line)) for _ in range(ROUNDS)]
        os.close(file)
        os.chdir("/")
    send_us, write_us = (statistics.median(one) * 1e6 / CALLS for one in zip(*pairs, strict=True))
    return statistics.median(send / write for send, write in pairs), send_us, write_us


def _time_sends(channel: object) -> float:
    send = channel.send  # type: ignore[attr-defined]  # pyright: ignore
    started = thread_time()
    for x in range(CALLS):
        send(x, 0.9712345678901234)
    return thread_time() - started


def _time_writes(file: int, line: bytes) -> float:
    write = os.write
    started = thread_time()
    for _ in range(CALLS):
        write(file, line)
    return thread_time() - started


def import_cpu_ms() -> float:
    """Return the CPU milliseconds that ``import bough`` adds to an empty interpreter: median of interleaved pairs."""
    pairs = [(_cpu_of("import bough"), _cpu_of("pass")) for _ in range(STARTS)]
    return statistics.median(loaded - empty for loaded, empty in pairs) * 1000


def _cpu_of(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": SDK}, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the figures."""
    sys.path.insert(0, SDK)
    for kpi in (False, True):
        ratio, send_us, write_us = send_ratio(kpi)
        what = "KPI channel" if kpi else "channel"
        print(f"{what}.send: {ratio:.2f}x a bare os.write of the same line ({send_us:.2f} us against {write_us:.2f})")
    print(f"import bough adds {import_cpu_ms():.1f} ms of CPU")


if __name__ == "__main__":
    main()
