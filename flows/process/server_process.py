"""Prefect's temporary server, run as a script: it ends with the command that started it, however that ends.

Its standard input is a pipe that the command holds open. When the command ends, killed or not, the pipe closes. Signals
that reach a whole group of processes, such as Ctrl-C, are left to the command, which still has to report to the server.
"""

import os
import shutil
import signal
import socket
import sys
import threading
import traceback

import uvicorn

END_SECONDS = 3.0
FAILED = 3


def main(listening: int, temporary_home: str = "") -> None:
    """Serve Prefect's API on the socket whose number is `listening`; `temporary_home` is removed at the end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    app = "prefect.server.api.server:create_app"
    server = uvicorn.Server(uvicorn.Config(app, factory=True, log_level="error", lifespan="on"))
    ending = threading.Event()

    def serve() -> None:
        try:
            server.run(sockets=[socket.socket(fileno=listening)])  # outside the main thread it leaves signals alone
        except SystemExit:  # uvicorn has said why
            pass
        except BaseException:
            traceback.print_exc()
        if not ending.is_set():  # it could not start
            sys.stderr.flush()
            os._exit(FAILED)

    serving = threading.Thread(target=serve, daemon=True)
    serving.start()
    sys.stdin.buffer.read()
    ending.set()
    server.should_exit = True
    serving.join(END_SECONDS)
    if temporary_home:
        shutil.rmtree(temporary_home, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
