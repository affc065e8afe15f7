"""plasmad through its Python client."""

from pathlib import Path
from typing import Any

import plasmad

from . import Adapter


class Plasmad(Adapter):
    def start(self, directory: Path, memory_bytes: int) -> str:
        self.server = plasmad.Server(memory_bytes, socket=directory / "socket")
        self.connect(self.server.socket)
        return self.server.socket

    def start_spilling(self, directory: Path, memory_bytes: int) -> str:
        # As it comes: to a private folder in the user's home, which is the directory here.
        return self.start(directory, memory_bytes)

    def connect(self, address: str) -> None:
        self.store = plasmad.connect(address)

    def version(self) -> str:
        return f"plasmad {plasmad.__version__}"

    def put(self, data: memoryview) -> Any:
        return self.store.put_bytes(data)

    def get(self, handle: Any) -> Any:
        return self.store.get_buffer(handle)

    def release(self, view: Any) -> None:
        view.close()

    def delete(self, handle: Any) -> None:
        self.store.delete(handle)

    def publish(self, key: int, data: memoryview) -> Any:
        return self.store.put_bytes(data, object_id=_id(key))

    def expect(self, key: int) -> Any:
        return self.store.get_buffer(_id(key))

    def stop(self) -> None:
        self.store.close()
        if hasattr(self, "server"):
            self.server.stop()


def _id(key: int) -> plasmad.ObjectId:
    return plasmad.ObjectId(key.to_bytes(28, "big"))
