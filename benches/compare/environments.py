"""An environment for each store, made once and used again; what can't be installed is said, and nothing fails by it.

Invariant: nothing is installed outside `target/compare`, but for one Debian package of Redis, which has no service
that would start by itself; it is installed only as root, and only where it is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from peers import Peer

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
INSTALL_SECONDS_MAX = 600


class NotThere(Exception):
    """A store that can't be measured here; the text says why, and stands in the table."""


class Environments:
    """Environments below one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def command(self, peer: Peer) -> list[str]:
        """The program that measures this store, installed if it was not there."""
        if peer.driver:
            return [str(driver()), *peer.driver]
        if peer.debian is not None:
            self._debian(*peer.debian)
        python = self._environment(peer) if peer.requirements else Path(sys.executable)
        return [str(python), str(HERE / "worker.py"), peer.adapter]

    def path(self) -> str:
        """$PATH with what was linked here in front."""
        return f"{self.directory / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"

    def _environment(self, peer: Peer) -> Path:
        place = self.directory / peer.name
        python, stamp = place / "bin" / "python", place / "installed"
        wanted = "\n".join(peer.requirements)
        if stamp.exists() and stamp.read_text() == wanted:
            return python
        shutil.rmtree(place, ignore_errors=True)
        self._run([interpreter(peer.python), "-m", "venv", str(place)], peer.name)
        pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *peer.requirements]
        self._run(pip, peer.name)
        stamp.write_text(wanted)
        return python

    def _debian(self, program: str, installed: str, package: str) -> None:
        """Links the program under the name that makes it a server."""
        if shutil.which(program, path=self.path()):
            return
        if not Path(installed).exists():
            if shutil.which("apt-get") is None or os.geteuid() != 0:
                raise NotThere(f"there is no {program}; as root, `apt-get install {package}` brings it")
            environment = {"DEBIAN_FRONTEND": "noninteractive"}
            self._run(["apt-get", "update", "-q"], package, environment)
            install = ["apt-get", "install", "-q", "-y", "--no-install-recommends", package]
            self._run(install, package, environment)
        link = self.directory / "bin" / program
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(installed)

    def _run(self, command: list[str], name: str, more: dict[str, str] | None = None) -> None:
        """Runs to the end, with its output in a log; raises what it complained of."""
        self.directory.mkdir(parents=True, exist_ok=True)
        log = self.directory / f"{name}.install.log"
        with log.open("ab") as output:
            try:
                subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    check=True,
                    timeout=INSTALL_SECONDS_MAX,
                    env=os.environ | (more or {}),
                )
            except subprocess.TimeoutExpired:
                raise NotThere(f"installing it took more than {INSTALL_SECONDS_MAX} s") from None
            except (OSError, subprocess.CalledProcessError) as error:
                raise NotThere(
                    f"it can't be installed: {complaint(log.read_text(errors='replace')) or error}"
                ) from None


def complaint(log: str) -> str:
    """The last line of a log that says what was wrong."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "e:"))]
    return (errors or lines or [""])[-1][:200]


def interpreter(version: str | None) -> str:
    """The Python of this version, if one is wanted."""
    if version is None or sys.version_info[:2] == tuple(map(int, version.split("."))):
        return sys.executable
    found = shutil.which(f"python{version}")
    if found is None:
        raise NotThere(f"it has packages for Python {version} at most, and there is no python{version} here")
    return found


def driver() -> Path:
    """The Rust driver, which `make bench` builds."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    program = target / "release" / "plasmad-compare-driver"
    if not program.exists():
        raise NotThere("its driver is not built: cargo build --release --package plasmad-compare-driver")
    return program
