"""What the documents and the type stubs say is so."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import plasmad

REPOSITORY = Path(__file__).resolve().parents[2]
CLIENT = REPOSITORY / "clients" / "python"

#: Documents whose links are followed.
LINKED = ("README.md", "docs/*.md", "protocol/SPEC.md", "clients/*/README.md")

#: Slots of the buffer protocol, which Python shows as methods from 3.12 on.
NOT_AT_RUNTIME = r"plasmad\._plasmad\.(Read|Writable)Buffer\.__(release_)?buffer__"


def test_the_example_of_the_readme_runs(capsys):
    [example] = re.findall(r"```python\n(.*?)```", (CLIENT / "README.md").read_text(), re.DOTALL)
    exec(example, {})  # noqa: S102
    assert capsys.readouterr().out == "1500000.0 False\n"


def test_the_example_of_the_top_readme_runs(tmp_path):
    [example] = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    # As a program of its own: it forks, and a reader runs it from a file too.
    program = tmp_path / "example.py"
    program.write_text(example)
    ran = subprocess.run([sys.executable, program], capture_output=True, check=False, text=True, timeout=60)
    assert (ran.returncode, ran.stdout) == (0, f"{[15000000.0] * 4}\n"), ran.stderr


def test_every_relative_link_leads_somewhere():
    documents = [path for pattern in LINKED for path in REPOSITORY.glob(pattern)]
    assert len(documents) >= 9, documents
    assert [complaint for path in documents for complaint in broken_links(path)] == []


def test_a_link_to_nowhere_is_noticed(tmp_path):
    (tmp_path / "there.md").write_text("# A Heading, `code` & more\n```\n# no heading\n```\n## Twice\n## Twice\n")
    good = "[a](there.md) [b](there.md#a-heading-code--more) [c](https://example.org) [d](#own) [e](there.md#twice-1)"
    bad = "[f](gone.md) [g](there.md#no-heading) [h](#other) ![i](gone.png)\n\n[j]: gone.txt"
    document = tmp_path / "document.md"
    document.write_text(f"# Own\n{good}\n`[k](gone.md)`\n```\n[l](gone.md)\n```\n{bad}\n")
    found = [complaint.rpartition(" ")[2] for complaint in broken_links(document)]
    assert found == ["gone.md", "there.md#no-heading", "#other", "gone.png", "gone.txt"]


def broken_links(document: Path) -> list[str]:
    """A complaint for each link to a file or heading that isn't there. Links into the web are passed over."""
    text = re.sub(r"`[^`\n]*`", "", without_code_blocks(document.read_text()))
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"^\[[^\]]+\]:\s*(\S+)", text, re.MULTILINE)
    return [
        f"{document} links to {target}"
        for target in targets
        if not re.match(r"[a-z]+:", target) and not leads_somewhere(document, target)
    ]


def leads_somewhere(document: Path, target: str) -> bool:
    path, _, heading = target.partition("#")
    found = document.parent / path if path else document
    return found.exists() and (not heading or heading in anchors(found))


def anchors(document: Path) -> set[str]:
    """The names under which headings can be linked to, as GitHub makes them."""
    names: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?) *$", without_code_blocks(document.read_text()), re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        repeats = 0
        while (unique := f"{name}-{repeats}" if repeats else name) in names:
            repeats += 1
        names.add(unique)
    return names


def without_code_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def test_the_operating_page_names_every_flag_of_serve_and_no_other():
    program = os.environ.get("PLASMAD_BIN") or shutil.which("plasmad") or pytest.fail("no plasmad to ask")
    text = subprocess.run([program, "serve", "--help"], capture_output=True, check=True, text=True).stdout
    flags = set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", text, re.MULTILINE))
    assert len(flags) > 15, text
    # Flags of every command, which the page has below the table.
    assert documented_flags(section("Flags")) == flags - {"--help", "--json", "--quiet"}


def test_the_operating_page_names_every_field_of_stats_and_no_other(store):
    assert documented_fields(section("Stats")) == set(fields(store.stats()))


def test_a_flag_or_field_that_is_not_documented_is_noticed(store):
    page = section("Flags").replace("`--populate all`", "").replace("`--socket PATH`", "`--sucket PATH`")
    assert documented_flags(section("Flags")) ^ documented_flags(page) == {"--socket", "--sucket"}
    stats = store.stats()
    stats["memory"]["lent_bytes"] = 0
    assert set(fields(stats)) - documented_fields(section("Stats")) == {"memory.lent_bytes"}


def section(heading: str) -> str:
    page = (REPOSITORY / "docs" / "OPERATING.md").read_text()
    [found] = re.findall(rf"^## {heading}\n(.*?)^## ", page, re.DOTALL | re.MULTILINE)
    return str(found)


def first_cells(text: str) -> list[str]:
    return re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)


def documented_flags(text: str) -> set[str]:
    return {flag for cell in first_cells(text) for flag in re.findall(r"`(--[a-z-]+)", cell)}


def documented_fields(text: str) -> set[str]:
    """The names in the first column. In `memory.used_bytes`, `free_bytes` the second belongs to memory too."""
    names: set[str] = set()
    for cell in first_cells(text):
        group = ""
        for name in re.findall(r"`([a-z_.]+)`", cell):
            group = name.partition(".")[0] + "." if "." in name else group
            names.add(name if "." in name else group + name)
    return names


def fields(stats: dict[str, Any]) -> list[str]:
    inner = [f"{name}.{field}" for name, value in stats.items() if isinstance(value, dict) for field in value]
    return inner + [name for name, value in stats.items() if not isinstance(value, dict)]


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
