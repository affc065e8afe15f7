"""Two measures: a clock that every process reads alike, and the memory that is really a process's own share.

RSS would count the store's pages in full for everybody who maps them, four times over for four consumers. PSS, the
proportional set size, divides a shared page among its users. A page counts from the moment a process touches it.
"""

import time


def now() -> float:
    """Seconds on CLOCK_MONOTONIC: one clock for the whole machine, so moments of two processes can be subtracted."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def pss_bytes() -> int:
    """This process's proportional set size."""
    with open("/proc/self/smaps_rollup", encoding="ascii") as rollup:
        for line in rollup:
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    raise OSError("/proc/self/smaps_rollup has no Pss line")


def is_shared_mapping(address: int) -> bool:
    """Whether the address lies in memory mapped shared; a copy would lie in the process's private memory."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            bounds, permissions = line.split(maxsplit=2)[:2]
            start, end = (int(bound, 16) for bound in bounds.split("-"))
            if start <= address < end:
                return permissions.endswith("s")
    return False
