"""Apache Arrow Plasma, as the last releases with it shipped it.

`put_raw_buffer` is the fastest of its ways to put bytes: `create`, then writing through a memoryview, numpy or
`FixedSizeBufferWriter`, then `seal` is slower at 100 MiB.
"""

import os
import warnings
from pathlib import Path
from typing import Any

import pyarrow

# Every call of it says that it is deprecated.
warnings.simplefilter("ignore")

import pyarrow.plasma as plasma  # noqa: E402

from . import Adapter, Daemon  # noqa: E402


class Plasma(Adapter):
    def start(self, directory: Path, memory_bytes: int) -> str:
        return self._start(directory, memory_bytes)

    def start_spilling(self, directory: Path, memory_bytes: int) -> str:
        # The only place it can spill to, as it was built: a hash table in its own process.
        return self._start(directory, memory_bytes, "-e", "hashtable://test")

    def _start(self, directory: Path, memory_bytes: int, *more: str) -> str:
        socket = str(directory / "socket")
        program = Path(pyarrow.__file__).parent / "plasma-store-server"
        self.daemon = Daemon([str(program), "-m", str(memory_bytes), "-s", socket, *more], directory)
        self.client = self.daemon.wait_for(lambda: plasma.connect(socket, num_retries=1))
        return socket

    def connect(self, address: str) -> None:
        self.client = plasma.connect(address)

    def version(self) -> str:
        return f"pyarrow {pyarrow.__version__}"

    def put(self, data: memoryview) -> Any:
        return self.client.put_raw_buffer(data, plasma.ObjectID(os.urandom(20)))

    def get(self, handle: Any) -> Any:
        return self.client.get_buffers([handle])[0]

    def delete(self, handle: Any) -> None:
        self.client.delete([handle])

    def publish(self, key: int, data: memoryview) -> Any:
        return self.client.put_raw_buffer(data, _id(key))

    def expect(self, key: int) -> Any:
        return self.client.get_buffers([_id(key)])[0]

    def stop(self) -> None:
        self.client.disconnect()
        if hasattr(self, "daemon"):
            self.daemon.stop()


def _id(key: int) -> plasma.ObjectID:
    return plasma.ObjectID(key.to_bytes(20, "big"))
