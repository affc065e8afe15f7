"""Redis over a Unix socket, nothing written to disk. It copies every value in and out of its server."""

import os
import subprocess
from pathlib import Path
from typing import Any

import redis

from . import Adapter, Daemon, Unsupported

SERVER = "redis-server"
#: "A String value can be at most 512 MB in length."
VALUE_BYTES_MAX = 512 << 20


class Redis(Adapter):
    def __init__(self) -> None:
        self.number = 0

    def start(self, directory: Path, memory_bytes: int) -> str:
        socket = str(directory / "socket")
        # Port 0: the Unix socket alone. Its memory is not bounded: it is freed as soon as a value goes.
        command = [SERVER, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no"]
        self.daemon = Daemon([*command, "--dir", str(directory)], directory)
        self.daemon.wait_for(lambda: self.connect(socket))
        return socket

    def connect(self, address: str) -> None:
        self.client = redis.Redis(unix_socket_path=address)
        self.client.ping()

    def version(self) -> str:
        server = subprocess.run([SERVER, "--version"], capture_output=True, text=True, check=True).stdout
        return f"redis-server {server.split('v=')[-1].split()[0]}, redis (Python) {redis.__version__}"

    def put(self, data: memoryview) -> Any:
        if len(data) > VALUE_BYTES_MAX:
            raise Unsupported("a value has at most 512 MiB")
        self.number += 1
        key = f"{os.getpid()}-{self.number}"
        self.client.set(key, data)
        return key

    def get(self, handle: Any) -> Any:
        return self.client.get(handle)

    def delete(self, handle: Any) -> None:
        self.client.delete(handle)

    def publish(self, key: int, data: memoryview) -> Any:
        name = f"hand-over-{key}"
        self.client.rpush(name, data)
        return name

    def expect(self, key: int) -> Any:
        return self.client.blpop([f"hand-over-{key}"])[1]

    def stop(self) -> None:
        self.client.close()
        if hasattr(self, "daemon"):
            self.daemon.stop()
