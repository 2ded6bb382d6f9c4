"""One request's body into one folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.to_thread
from starlette.requests import Request

from lung_nodules.service.api.uploads.folder import UploadFolder
from lung_nodules.service.api.uploads.limits import MIB, UploadRefusal, full_disk_as_refusal
from lung_nodules.service.api.uploads.multipart import FilesParser
from lung_nodules.service.api.uploads.unzip import ZIP_MAGIC, unpack

ZIP_TYPES = ("application/zip", "application/x-zip-compressed")
FORM_TYPE = "multipart/form-data"
STALLED_S = 60.0
_ARCHIVE = "upload.zip"


async def receive(request: Request, folder: UploadFolder) -> None:
    """Write the files of an upload into its folder, a ZIP unpacked.

    Args:
        request: Its body is a ZIP, or a form with files; one ZIP in a form counts as the ZIP.
        folder: Empty.

    Raises:
        UploadRefusal: See `unpack` and `FilesParser`; 408 ``upload-stalled``, 415 ``media-type``, 422
            ``upload-empty``, 507 ``disk-full``.
        ClientDisconnect: The sender has gone.
    """
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    _check_length(request, folder)
    with full_disk_as_refusal():
        if media_type in ZIP_TYPES:
            await _receive_zip(request, folder)
        elif media_type == FORM_TYPE:
            await _receive_form(request, content_type, folder)
        else:
            sentence = f"An upload is {ZIP_TYPES[0]} or {FORM_TYPE}."
            raise UploadRefusal(415, "media-type", sentence)
    if folder.num_bytes == 0:
        raise UploadRefusal(422, "upload-empty", "The upload holds no file with content.")


def _check_length(request: Request, folder: UploadFolder) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal():
        folder.limits.check_bytes(int(declared))


async def _receive_zip(request: Request, folder: UploadFolder) -> None:
    archive = folder.path / _ARCHIVE
    num_bytes = 0
    with archive.open("xb") as file:
        async for piece in _pieces(request):
            num_bytes += len(piece)
            folder.limits.check_bytes(num_bytes)
            await anyio.to_thread.run_sync(file.write, piece)
    if num_bytes == 0:
        raise UploadRefusal(422, "upload-empty", "The upload is empty.")
    await anyio.to_thread.run_sync(unpack, archive, folder)
    archive.unlink()


async def _receive_form(request: Request, content_type: str, folder: UploadFolder) -> None:
    parser = FilesParser(content_type, folder)
    num_bytes = 0
    try:
        async for piece in _pieces(request):
            num_bytes += len(piece)
            folder.limits.check_bytes(num_bytes)
            await anyio.to_thread.run_sync(parser.write, piece)
        await anyio.to_thread.run_sync(parser.finish)
    finally:
        parser.close()
    await anyio.to_thread.run_sync(_unpack_sole_zip, folder)


def _unpack_sole_zip(folder: UploadFolder) -> None:
    """Take a form with one ZIP for the ZIP, and refuse a ZIP among other files."""
    zips = [path for path in folder.files() if _begins_as_zip(path)]
    if not zips:
        return
    if len(folder.files()) > 1:
        raise UploadRefusal(422, "zip-nested", "A ZIP was sent among other files.", "Send it alone.")
    archive = zips[0].rename(folder.path / _ARCHIVE)
    folder.num_files = folder.num_bytes = 0
    unpack(archive, folder)
    archive.unlink()


def _begins_as_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in ZIP_MAGIC


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces of about a megabyte, so that the disk is asked by the thread that waits for it, not by us."""
    pending = bytearray()
    stream = request.stream()
    while True:
        try:
            with anyio.fail_after(STALLED_S):
                chunk = await anext(stream, None)
        except TimeoutError as error:
            raise UploadRefusal(408, "upload-stalled", "Nothing has come for a minute.", "Send it again.") from error
        if chunk is None:
            break
        pending += chunk
        if len(pending) >= MIB:
            yield bytes(pending)
            pending.clear()
    if pending:
        yield bytes(pending)
