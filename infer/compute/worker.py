"""The other side of `LocalProcesses`: what a worker process does.

It says that it is ready, receives the work once, then chunk after chunk, and answers each with
the chunk's table or with an exception.  It ends with its parent, however that ends.
"""

from __future__ import annotations

import os
import threading
from multiprocessing.connection import Connection

from infer.compute.work import perform_elsewhere, unpickled
from infer.errors import InferError

READY = "ready"


def main(handle: int) -> None:
    """Serve the parent at the other end of a socket until that is closed.

    Args:
        handle: file descriptor of this end.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with Connection(handle) as connection:
        connection.send(READY)
        try:
            work = unpickled(connection.recv_bytes())
            while True:
                chunk = connection.recv()
                connection.send((chunk, perform_elsewhere(work, chunk)))
        except InferError as error:
            connection.send(error)
        except EOFError:
            return


def _end_with_parent() -> None:
    """Standard input is a pipe that only the parent holds: it ends when the parent does."""
    os.read(0, 1)
    os._exit(1)  # the main thread may be deep inside a computation
