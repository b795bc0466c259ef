"""A stand-in for a serving engine, as a process of its own: workers that outlive it, streams, and every way to fail.

    python3 stand_in.py PORT [--start S] [--workers N] [--model NAME] [--fail TEXT]

What a request's ``prompt`` says happens: ``crash`` kills the server at once, ``die`` answers 500 as vLLM does when a worker died and then
ends, ``hang`` stops it answering, ``stream N`` sends N pieces a tenth of a second apart, ``late-crash`` sends a piece and dies, ``pid``
answers the process number. SIGTERM lets streams end, as --shutdown-timeout does.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WORKER = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
METRICS = """\
vllm:cache_config_info{block_size="16",num_gpu_blocks="%d",gpu_memory_utilization="0.85",enable_prefix_caching="True"} 1.0
vllm:num_requests_running{engine="0"} 0.0
"""


class Handler(BaseHTTPRequestHandler):
    """Answers as the OpenAI-compatible servers do, as far as the tests ask."""

    protocol_version = "HTTP/1.1"
    dead = False
    open_streams = 0
    options: argparse.Namespace

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def answer(self, code: int, body: object) -> None:
        """A whole answer."""
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        """Health, models and metrics."""
        if self.path in ("/health", "/readiness"):
            self.answer(503 if Handler.dead else 200, "")
        elif self.path == "/v1/models":
            one = {"id": self.options.model, "max_model_len": self.options.length}
            self.answer(200, {"object": "list", "data": [one]})
        elif self.path == "/metrics":
            self.answer(200, METRICS % (self.options.cache_tokens // 16))
        else:
            self.answer(404, {})

    def do_POST(self) -> None:
        """A completion."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        what, _, number = str(asked.get("prompt", "")).partition(" ")
        with Path(self.options.notes).open("a") as notes:
            notes.write(f"{self.options.port} {what}\n")
        if what == "crash":
            os._exit(1)
        if what == "die":
            Handler.dead = True
            threading.Timer(0.3, os._exit, (1,)).start()
            self.answer(500, {"error": {"message": "EngineDeadError", "code": 500}})
        elif what == "hang":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif what in ("stream", "late-crash"):
            self.stream(int(number or 1), what == "late-crash")
        elif asked.get("stream"):
            self.stream(int(asked.get("max_tokens", 4)), False)
        else:
            self.answer(200, {"pid": os.getpid(), "port": self.options.port})

    def stream(self, pieces: int, crash: bool) -> None:
        """Server-sent events."""
        Handler.open_streams += 1
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for piece in range(pieces):
            text = {"choices": [{"index": 0, "text": f"t{piece}", "delta": {"content": f"t{piece}"}}]}
            self.wfile.write(f"data: {json.dumps(text)}\n\n".encode())
            self.wfile.flush()
            if crash:
                os._exit(1)
            time.sleep(self.options.step)
        usage = {"choices": [], "usage": {"completion_tokens": pieces}}
        self.wfile.write(f"data: {json.dumps(usage)}\n\ndata: [DONE]\n\n".encode())
        Handler.open_streams -= 1


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--start", type=float, default=0)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--model", default="stand-in")
    parser.add_argument("--length", type=int, default=8192)
    parser.add_argument("--cache-tokens", type=int, default=404528)
    parser.add_argument("--step", type=float, default=0.1)
    parser.add_argument("--fail", default="")
    parser.add_argument("--notes", default=os.devnull)
    Handler.options = options = parser.parse_args()
    # The second worker leaves the process group, as daemons do.
    for number in range(options.workers):
        subprocess.Popen([sys.executable, "-S", "-c", WORKER, "worker-of-stand-in"], start_new_session=number % 2 == 1)
    time.sleep(options.start)
    if options.fail:
        print("loading", flush=True)
        print(options.fail, file=sys.stderr)
        print(f"closing after {time.time()}", flush=True)
        raise SystemExit(1)
    server = ThreadingHTTPServer(("0.0.0.0", options.port), Handler)
    server.daemon_threads = True

    def leave(*_: object) -> None:
        def wait() -> None:
            deadline = time.monotonic() + 30
            while Handler.open_streams and time.monotonic() < deadline:
                time.sleep(0.02)
            os._exit(0)

        threading.Thread(target=wait).start()

    signal.signal(signal.SIGTERM, leave)
    server.serve_forever()


if __name__ == "__main__":
    main()
