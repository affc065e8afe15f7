"""Starting a daemon of one's own, and ending it."""

import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import plasmad
from conftest import eventually, run_python


def is_alive(pid):
    """Runs, and is no zombie that waits for its parent."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def fake_daemon(tmp_path, monkeypatch):
    """Puts a Python program in the daemon's place."""

    def place(code):
        path = tmp_path / "fake-plasmad"
        path.write_text(f"#!{sys.executable}\nimport os, signal, sys, time\n{code}")
        path.chmod(0o755)
        monkeypatch.setenv("PLASMAD_BIN", str(path))
        return path

    return place


READY = "os.write(int(sys.argv[sys.argv.index('--ready-fd') + 1]), b'1')\n"


def test_a_server_serves_and_stops():
    server = plasmad.Server(memory="16MiB")
    with plasmad.connect(server.socket) as store:
        id = store.put_bytes(b"hello")
        assert bytes(store.get_buffer(id)) == b"hello"
        assert store.stats()["memory"]["capacity_bytes"] == 16 << 20
    assert server.pid == server.process.pid and is_alive(server.pid)
    assert is_alive(server.engine_pid)
    directory = Path(server.log_path).parent
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert server.stop() == 0 and server.stop() == 0
    assert not is_alive(server.pid) and not directory.exists() and not Path(server.socket).exists()


def test_a_with_block_stops_it_whatever_happens():
    with pytest.raises(ZeroDivisionError), plasmad.Server(memory=16 << 20) as server:
        1 / 0  # noqa: B018
    assert server.process.returncode == 0


def test_the_socket_can_be_chosen(tmp_path):
    with plasmad.Server(memory="16MiB", socket=tmp_path / "here") as server:
        assert server.socket == str(tmp_path / "here")
        plasmad.connect(tmp_path / "here").close()
    assert not (tmp_path / "here").exists() and tmp_path.exists()


def test_two_servers_on_one_socket():
    with (
        plasmad.Server(memory="16MiB") as first,
        pytest.raises(plasmad.ServerStartError) as caught,
    ):
        plasmad.Server(memory="16MiB", socket=first.socket)
    assert "status 3" in str(caught.value) and str(first.pid) in str(caught.value)


def test_wrong_arguments_come_back_with_the_log():
    with pytest.raises(plasmad.ServerStartError, match="its log ends with"):
        plasmad.Server(memory="16MiB", args=["--no-such-flag"])
    with pytest.raises(plasmad.ServerStartError, match="lots"):
        plasmad.Server(memory="lots")
    with pytest.raises(ValueError, match="spill, evict, refuse"):
        plasmad.Server(when_full="panic")
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="start_timeout"):
            plasmad.Server(start_timeout=wrong)


def test_it_ends_with_the_process_that_made_it():
    program = """
import os, signal, plasmad
server = plasmad.Server(memory="16MiB")
print(server.pid, server.engine_pid, server.log_path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    result = run_python(program)
    assert result.returncode == -signal.SIGKILL, result.stderr
    *pids, log_path = result.stdout.split()
    for pid in map(int, pids):
        eventually(lambda pid=pid: not is_alive(pid))
    # Nobody was left to do this.
    shutil.rmtree(Path(log_path).parent)


def test_it_ends_when_the_program_forgets_it():
    program = """
import plasmad
server = plasmad.Server(memory="16MiB")
print(server.pid, server.log_path)
"""
    result = run_python(program)
    pid, log_path = result.stdout.split()
    assert result.returncode == 0 and not is_alive(int(pid)) and not Path(log_path).parent.exists()


def test_a_forked_child_leaves_it_alone():
    with plasmad.Server(memory="16MiB") as server:
        child = os.fork()
        if child == 0:
            try:
                server.__exit__(None, None, None)
                server.stop()
            except RuntimeError:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert is_alive(server.pid)
        plasmad.connect(server.socket).close()


def test_ctrl_c_in_the_terminal_is_not_the_daemons():
    with plasmad.Server(memory="16MiB") as server:
        assert os.getpgid(server.pid) != os.getpgid(0)


def test_no_daemon_to_start(tmp_path, monkeypatch):
    monkeypatch.setenv("PLASMAD_BIN", str(tmp_path / "nowhere"))
    with pytest.raises(plasmad.ServerStartError, match="No such file"):
        plasmad.Server()
    monkeypatch.delenv("PLASMAD_BIN")
    monkeypatch.setenv("PATH", str(tmp_path))
    if not (Path(plasmad.__file__).parent / "bin" / "plasmad").exists():
        with pytest.raises(plasmad.ServerStartError, match="PLASMAD_BIN"):
            plasmad.Server()


def test_a_daemon_that_dies_at_once(fake_daemon):
    fake_daemon("sys.exit('no memory for me')")
    with pytest.raises(
        plasmad.ServerStartError,
        match="status 1 before it served(.|\n)*no memory for me",
    ):
        plasmad.Server()


def test_a_daemon_that_is_slow(fake_daemon):
    fake_daemon("print('still thinking', flush=True)\nsignal.pause()")
    with pytest.raises(plasmad.ServerStartError, match=r"within 0\.5 s(.|\n)*still thinking"):
        plasmad.Server(start_timeout=0.5)


def test_a_daemon_that_will_not_stop_is_killed(fake_daemon):
    fake_daemon("signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + READY + "time.sleep(60)")
    server = plasmad.Server()
    with pytest.raises(ValueError, match="timeout"):
        server.stop(timeout=-1)
    assert server.stop(timeout=0.1) == -signal.SIGKILL
    assert server.stop() == -signal.SIGKILL


def test_the_command_line(fake_daemon, tmp_path):
    fake_daemon("print(sys.argv[1:], flush=True)\n" + READY + "signal.pause()")
    server = plasmad.Server(
        "2GiB",
        when_full="evict",
        spill_dir=tmp_path,
        spill_max="1GiB",
        args=["--log-level", "debug"],
    )
    printed = Path(server.log_path).read_text()
    assert server.stop() == -signal.SIGTERM
    arguments = eval(printed)
    expected = {
        "--memory": "2GiB",
        "--when-full": "evict",
        "--spill-dir": str(tmp_path),
        "--spill-max": "1GiB",
        "--socket": server.socket,
        "--exit-with-pid": str(os.getpid()),
        "--log-level": "debug",
    }
    assert arguments[0] == "serve"
    assert {flag: arguments[arguments.index(flag) + 1] for flag in expected} == expected
    assert tmp_path.exists()


def test_nothing_is_left_in_the_temporary_directory(fake_daemon, tmp_path, monkeypatch):
    private = tmp_path / "tmp"
    private.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(private))
    fake_daemon("sys.exit(3)")
    with pytest.raises(plasmad.ServerStartError):
        plasmad.Server()
    assert list(private.iterdir()) == []


def test_the_daemon_inherits_no_other_descriptor(fake_daemon):
    fake_daemon("print(sorted(os.listdir('/proc/self/fd'), key=int), flush=True)\n" + READY + "signal.pause()")
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        server = plasmad.Server()
        assert str(writer) not in Path(server.log_path).read_text()
        server.stop()
    finally:
        os.close(reader)
        os.close(writer)
    assert isinstance(server.process, subprocess.Popen)
