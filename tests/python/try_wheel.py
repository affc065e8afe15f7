"""Tries an installed wheel where nothing else of plasmad is: its own daemon, an object made and read."""

import plasmad

with plasmad.Server("16MiB") as server, plasmad.connect(server.socket) as store:
    made = store.put_bytes(b"from the wheel", metadata=b"tried")
    with store.get_buffer(made, timeout=0) as buffer:
        assert bytes(buffer) == b"from the wheel", bytes(buffer)
        assert buffer.metadata == b"tried", buffer.metadata
print(f"the wheel works: plasmad {plasmad.__version__} from {plasmad.__file__}")
