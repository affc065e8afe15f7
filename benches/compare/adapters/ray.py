"""Ray's object store, through `ray.put` of a numpy array, which it neither pickles nor copies twice.

Nothing in Ray waits for an object by name: objects go to another process as arguments of its actors, and so does the
hand-over here.
"""

import os
import time
import zlib
from pathlib import Path
from typing import Any

os.environ.update(
    {
        # No report to the outside, and no token on the disk.
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
        # Its only way to listen to the loopback alone; on Linux it would take the address that faces the network.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
)

import numpy  # noqa: E402
import ray  # noqa: E402

from . import Adapter  # noqa: E402


class Ray(Adapter):
    def start(self, directory: Path, memory_bytes: int) -> str:
        context = ray.init(
            num_cpus=2,
            object_store_memory=memory_bytes,
            include_dashboard=False,
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
            _temp_dir=str(directory),
        )
        return context.address_info["address"]

    def start_spilling(self, directory: Path, memory_bytes: int) -> str:
        # As it comes: to the folder of its session.
        return self.start(directory, memory_bytes)

    def connect(self, address: str) -> None:
        ray.init(address=address, log_to_driver=False, _node_ip_address="127.0.0.1")

    def version(self) -> str:
        return f"ray {ray.__version__}"

    def put(self, data: memoryview) -> Any:
        return ray.put(numpy.frombuffer(data, numpy.uint8))

    def get(self, handle: Any) -> Any:
        return ray.get(handle)

    def partner(self) -> Any:
        return Actor()

    def stop(self) -> None:
        ray.shutdown()


class Actor:
    """A process of Ray's that takes objects as arguments."""

    def __init__(self) -> None:
        class Taker:
            def take(self, value: numpy.ndarray) -> tuple[int, int]:
                return time.monotonic_ns(), zlib.crc32(value)

        self.actor = ray.remote(Taker).remote()
        ray.get(self.actor.take.remote(numpy.zeros(1, numpy.uint8)))

    def prepare(self, key: int) -> None:
        """An actor always waits."""

    def publish(self, key: int, data: memoryview) -> Any:
        self.answer = self.actor.take.remote(ray.put(numpy.frombuffer(data, numpy.uint8)))

    def arrived(self) -> tuple[int, int]:
        return ray.get(self.answer)

    def stop(self) -> None:
        ray.kill(self.actor)
