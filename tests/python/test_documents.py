"""What the README and the type stubs say is so."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import plasmad

CLIENT = Path(__file__).resolve().parents[2] / "clients" / "python"

#: Slots of the buffer protocol, which Python shows as methods from 3.12 on.
NOT_AT_RUNTIME = r"plasmad\._plasmad\.(Read|Writable)Buffer\.__(release_)?buffer__"


def test_the_example_of_the_readme_runs(capsys):
    [example] = re.findall(r"```python\n(.*?)```", (CLIENT / "README.md").read_text(), re.DOTALL)
    exec(example, {})  # noqa: S102
    assert capsys.readouterr().out == "1500000.0 False\n"


def test_the_readme_tells_of_every_exception():
    readme = (CLIENT / "README.md").read_text()
    assert [name for name in plasmad.__all__ if name.endswith("Error") and name not in readme] == []


def test_the_stubs_match_the_module(tmp_path):
    pytest.importorskip("mypy")
    allowlist = tmp_path / "allowlist"
    allowlist.write_text(NOT_AT_RUNTIME)
    command = ["mypy.stubtest", "--ignore-unused-allowlist", "--allowlist", str(allowlist), "plasmad._plasmad"]
    checked = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, check=False, text=True, cwd=tmp_path
    )
    assert checked.returncode == 0, checked.stdout


def test_the_package_is_typed():
    assert (Path(plasmad.__file__).parent / "py.typed").exists()
