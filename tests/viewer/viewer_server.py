"""A web server for OHIF: its built files, one settings file, and the archive's DICOMweb under the same origin.

The two headers isolate the page from other origins, without which a browser gives it no shared memory; OHIF's
volumes need that. Paths that name no file are OHIF's own routes and get its page.
"""

from __future__ import annotations

import mimetypes
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

ISOLATION = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
DICOM_WEB = "/dicom-web/"
_PASSED_ON = ("Accept", "Content-Type")


@contextmanager
def serve_viewer(dist: Path, app_config: Path, archive: str) -> Iterator[str]:
    """Serve OHIF until the block ends.

    Args:
        dist: OHIF's built files.
        app_config: OHIF's settings, in the place of its own ``app-config.js``.
        archive: Address of an Orthanc whose DICOMweb root is ``/dicom-web/``.

    Yields:
        The address of the viewer, on the loopback address.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, dist, app_config, archive))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, dist: Path, app_config: Path, archive: str, *arguments: object) -> None:
        self._dist, self._app_config, self._archive = dist.resolve(), app_config, archive
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if self.path.startswith(DICOM_WEB):
            self._ask_archive()
        else:
            self._give_file(urlsplit(self.path).path)

    def log_message(self, *_: object) -> None:
        """Say nothing: paths hold UIDs."""

    def _give_file(self, path: str) -> None:
        file = (self._dist / path.lstrip("/")).resolve()
        if path == "/app-config.js":
            file = self._app_config
        elif not file.is_relative_to(self._dist) or not file.is_file():
            file = self._dist / "index.html"
        media_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        self._answer(200, media_type, file.read_bytes())

    def _ask_archive(self) -> None:
        headers = {name: self.headers[name] for name in _PASSED_ON if self.headers[name]}
        headers["Host"] = self.headers["Host"]  # Orthanc builds the addresses of bulk data from it
        request = urllib.request.Request(self._archive + self.path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                self._answer(answer.status, answer.headers["Content-Type"], answer.read())
        except urllib.error.HTTPError as error:
            self._answer(error.code, error.headers["Content-Type"], error.read())

    def _answer(self, status: int, media_type: str | None, body: bytes) -> None:
        self.send_response(status)
        for name, value in ISOLATION.items():
            self.send_header(name, value)
        self.send_header("Content-Type", media_type or "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
