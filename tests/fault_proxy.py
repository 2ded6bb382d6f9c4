"""An archive that misbehaves on purpose: a proxy before a real one that spoils chosen answers.

`FaultProxy` stands before a DICOMweb server: rules say which requests are spoiled, how, and how often. `CuttingProxy`
stands before anything that speaks TCP and cuts or slows connections. Both listen on this machine alone, in threads.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_PASSED_ON = ("Accept", "Content-Type", "Authorization")
_SENT_BACK = ("Content-Type", "Retry-After", "Warning", "Location", "WWW-Authenticate")
PIECE_BYTES = 16 * 1024


@dataclass(frozen=True)
class Question:
    """A request as it came."""

    method: str
    path: str  # with its query
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """An answer as it is sent."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_s: float = 0.0  # before it begins
    piece_delay_s: float = 0.0  # before each piece of 16 KiB
    cut_at: int | None = None  # bytes after which the connection is closed
    has_length: bool = True  # whether Content-Length is told

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    def with_json(self, document: Any) -> Answer:
        """The same with another body."""
        return replace(self, body=json.dumps(document).encode())


Spoil = Callable[[Question, Answer], Answer]


@dataclass
class Rule:
    """Which requests are spoiled, and how."""

    pattern: re.Pattern[str]  # searched for in "METHOD /path?query"
    spoil: Spoil
    ask: Callable[[Question], Question] | None = None  # what is asked of the real archive instead
    reaches_archive: bool = True
    times: int | None = None  # how often yet; None: always
    skip: int = 0  # so many are let through first


class FaultProxy:
    """A proxy before a DICOMweb server.

    Args:
        upstream: Origin of the real one, such as ``http://127.0.0.1:8042``.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self.questions: list[Question] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler_class())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """Origin to ask."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def spoil(self, pattern: str, spoil: Spoil, **options: Any) -> None:
        """Add a rule; the first one that applies to a request counts. See `Rule`."""
        with self._lock:
            self._rules.append(Rule(re.compile(pattern), spoil, **options))

    def heal(self) -> None:
        """Forget all rules and all requests."""
        with self._lock:
            self._rules.clear()
            self.questions.clear()

    def count(self, pattern: str) -> int:
        """How many requests there were of a kind."""
        with self._lock:
            return sum(bool(re.search(pattern, f"{each.method} {each.path}")) for each in self.questions)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, question: Question) -> Answer:
        """Ask the real archive, and spoil the answer where a rule says so."""
        rule = self._take_rule(question)
        if rule is None:
            return self._forward(question)
        if not rule.reaches_archive:
            return rule.spoil(question, Answer(200))
        return rule.spoil(question, self._forward(rule.ask(question) if rule.ask else question))

    def _take_rule(self, question: Question) -> Rule | None:
        with self._lock:
            self.questions.append(question)
            for rule in self._rules:
                if rule.times == 0 or not rule.pattern.search(f"{question.method} {question.path}"):
                    continue
                if rule.skip:
                    rule.skip -= 1
                    continue
                if rule.times is not None:
                    rule.times -= 1
                return rule
        return None

    def _forward(self, question: Question) -> Answer:
        headers = {name: value for name, value in question.headers.items() if name.title() in _PASSED_ON}
        url = f"{self._upstream}{question.path}"
        request = urllib.request.Request(url, question.body or None, headers, method=question.method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return _read(response.status, response)
        except urllib.error.HTTPError as error:
            with error:
                return _read(error.code, error)

    def _handler_class(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = proxy.answer(Question(self.command, self.path, dict(self.headers), body))
                with contextlib.suppress(ConnectionError):  # the other side may have had enough
                    _send(self, answer)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815

        return Handler


@contextmanager
def start_fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """A proxy before `upstream`, ended afterwards."""
    proxy = FaultProxy(upstream)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


def _read(status: int, response: Any) -> Answer:
    headers = {name: response.headers[name] for name in _SENT_BACK if response.headers.get(name)}
    return Answer(status, headers, response.read())


def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    time.sleep(answer.delay_s)
    handler.send_response(answer.status)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    if answer.has_length:
        handler.send_header("Content-Length", str(len(answer.body)))
    else:
        handler.send_header("Connection", "close")
    handler.end_headers()
    body = answer.body if answer.cut_at is None else answer.body[: answer.cut_at]
    for start in range(0, len(body), PIECE_BYTES):
        if answer.piece_delay_s:
            time.sleep(answer.piece_delay_s)
        handler.wfile.write(body[start : start + PIECE_BYTES])
    if answer.cut_at is not None or not answer.has_length:
        handler.close_connection = True


def fails(status: int, **headers: str) -> Spoil:
    """A status instead of an answer."""
    return lambda _question, _answer: Answer(status, {name.replace("_", "-"): value for name, value in headers.items()})


def is_slow(delay_s: float = 0.0, piece_delay_s: float = 0.0) -> Spoil:
    """A whole answer, late or in drips."""
    return lambda _question, answer: replace(answer, delay_s=delay_s, piece_delay_s=piece_delay_s)


def is_cut(share: float, has_length: bool = True) -> Spoil:
    """An answer that breaks off; without a length, the connection's end is all that tells."""
    return lambda _question, answer: replace(answer, cut_at=int(len(answer.body) * share), has_length=has_length)


def is_redirected(origin: str) -> Spoil:
    """Elsewhere, with the same path."""
    return lambda question, _answer: Answer(302, {"Location": f"{origin}{question.path}"})


def is_partial(question: Question, answer: Answer) -> Answer:
    """206, though nothing is missing."""
    return replace(answer, status=206)


def is_single_part(question: Question, answer: Answer) -> Answer:
    """The instance itself, not wrapped as multipart/related."""
    head, _, rest = answer.body.partition(b"\r\n\r\n")
    boundary = head.split(b"\r\n")[0]
    body = rest.rsplit(b"\r\n" + boundary, 1)[0]
    return replace(answer, headers=answer.headers | {"Content-Type": "application/dicom"}, body=body)


def claims_more(by: int) -> Spoil:
    """Counts of instances that are too high."""
    return lambda _question, answer: answer.with_json([_raise_count(item, by) for item in answer.json()])


def lists_fewer(by: int) -> Spoil:
    """Lists that are too short."""
    return lambda _question, answer: answer.with_json(answer.json()[: -by or None])


def is_capped(limit: int) -> tuple[Callable[[Question], Question], Spoil]:
    """Pages of no more than `limit`, whatever is asked for: for `ask` and `spoil`."""

    def ask(question: Question) -> Question:
        return replace(question, path=re.sub(r"limit=\d+", f"limit={limit}", question.path))

    return ask, lambda _question, answer: answer


def ignores_offset(question: Question) -> Question:
    """The first page again and again: for `ask`."""
    return replace(question, path=re.sub(r"offset=\d+", "offset=0", question.path))


def _raise_count(item: dict[str, Any], by: int) -> dict[str, Any]:
    count = item.get("00201209", {}).get("Value", [0])[0]
    return item | {"00201209": {"vr": "IS", "Value": [int(count) + by]}}


class CuttingProxy:
    """A proxy before a TCP server.

    Args:
        port: Of the real one, on this machine.
        cut_after: Bytes from the server after which a connection is cut; None: never.
        times: How many connections are cut.
        delay_s: Before each piece from the server.
    """

    def __init__(self, port: int, cut_after: int | None = None, times: int = 10**9, delay_s: float = 0.0) -> None:
        self._upstream_port = port
        self._cut_after = cut_after
        self._times = times
        self._delay_s = delay_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self.num_cut = 0

    @property
    def port(self) -> int:
        """Port to connect to."""
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> CuttingProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._upstream_port))
            threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        num_bytes = 0
        cut_after = self._cut_after if is_answer else None
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE_BYTES):
                num_bytes += len(data)
                if cut_after is not None and num_bytes > cut_after and self._may_cut():
                    break
                if is_answer and self._delay_s:
                    time.sleep(self._delay_s)
                target.sendall(data)
        for side in (source, target):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()

    def _may_cut(self) -> bool:
        with self._lock:
            if self.num_cut >= self._times:
                return False
            self.num_cut += 1
            return True
