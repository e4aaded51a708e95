"""A world of drawn pairs, a model with eyes in a process of its own, and a server whose answers a test scripts."""

import json
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from clipreel.sample.pairs import write_pairs

SEEDS = range(7000, 7070)  # 210 differences


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A folder with 70 pairs, pairs.json and proposals.json."""
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder, SEEDS)
    return folder


@pytest.fixture(scope="session")
def eyes():
    """base_url of the measuring server."""
    command = [sys.executable, str(Path(__file__).parent / "measuring_server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        process.terminate()


class ScriptedServer:
    """Answers each request by `script(body, number)`: a text, or (status, headers, body), or a callable that takes the
    handler. `requests` are the bodies it was sent, `headers` what came with them, in small letters."""

    def __init__(self, script):
        self.requests, self.headers, lock = [], [], threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer in one piece: two would wait for each other, 40 ms

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    number = len(outer.requests)
                    outer.requests.append(body)
                    outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                said = script(body, number)
                if callable(said):
                    said(self)
                    return
                status, headers, data = (200, {}, completion(said)) if isinstance(said, str) else said
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True, kwargs={"poll_interval": 0.02}).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def completion(text, finish_reason="stop", refusal=None):
    return json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [
        {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": text, "refusal": refusal}}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}}).encode()


def hang(handler):
    time.sleep(3)


def drop(handler):
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def serve():
    """serve(script) -> ScriptedServer; closed at the end."""
    servers = []

    def start(script):
        servers.append(ScriptedServer(script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
