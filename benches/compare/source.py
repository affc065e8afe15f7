"""The bytes that are put: the same for every store, in every language, and different from one MiB to the next.

Invariant: MiB number k is SHA-256 of the numbers 0 to 32767 in a row, with its first eight bytes replaced by k; the
numbers are little-endian and have eight bytes. A call puts a piece of it that starts at a multiple of 64 which is its
own, so an object with another's bytes is noticed.
"""

import hashlib

MIB = 1 << 20
#: How far apart two calls' pieces start.
STEP = 64
#: How many pieces differ, before they start again.
PIECES = 256


class Source:
    """Grows to what the largest row needs; a small row stays in the cache."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def pieces(self, size: int) -> list[memoryview]:
        """Views of ``size`` bytes, one for each of the first calls."""
        self._grow(size + PIECES * STEP)
        whole = memoryview(self._bytes).toreadonly()
        return [whole[at * STEP : at * STEP + size] for at in range(PIECES)]

    def _grow(self, size: int) -> None:
        if len(self._bytes) >= size:
            return
        # A new one: views of the old one are alive, and growing it in place would refuse or move them.
        grown = bytearray(-(-size // MIB) * MIB)
        block = b"".join(hashlib.sha256(number.to_bytes(8, "little")).digest() for number in range(MIB // 32))
        for number in range(len(grown) // MIB):
            grown[number * MIB : (number + 1) * MIB] = block
            grown[number * MIB : number * MIB + 8] = number.to_bytes(8, "little")
        self._bytes = grown


def difference(found: memoryview, wanted: memoryview) -> str | None:
    """What is wrong with these bytes, in words; None if nothing is."""
    if found.nbytes != wanted.nbytes:
        return f"{found.nbytes} bytes came back, {wanted.nbytes} were put"
    found = found.cast("B")
    for start in range(0, wanted.nbytes, MIB):
        # Comparing bytes objects is a memcmp; comparing views is not.
        ours, theirs = bytes(wanted[start : start + MIB]), bytes(found[start : start + MIB])
        if ours != theirs:
            at = next(at for at in range(len(ours)) if ours[at] != theirs[at])
            return f"byte {start + at} of {wanted.nbytes} is {theirs[at]}, and {ours[at]} was put"
    return None
