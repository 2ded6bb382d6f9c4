"""Files of a multipart/form-data body (RFC 7578), written to disk as they come.

python-multipart parses; the callbacks are our own, because Starlette's form keeps each file of up to a megabyte in
memory and the larger ones open, which for twenty thousand slices is ten gigabytes or twenty thousand open files, and
because it keeps the names.
"""

from __future__ import annotations

from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from lung_nodules.service.api.uploads.folder import UploadFolder
from lung_nodules.service.api.uploads.limits import UploadRefusal

MAX_FIELDS = 100
MAX_FIELD_BYTES = 64 * 1024


class FilesParser:
    """Takes a body piece by piece; what has a file name becomes a file of the folder, other fields are passed over.

    Args:
        content_type: Of the request, with the boundary.
        folder: Where the files go.

    Raises:
        UploadRefusal: 400 ``multipart-damaged`` where there is no boundary that can be used.
    """

    def __init__(self, content_type: str, folder: UploadFolder) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._is_file = False
        self._num_fields = 0
        self._num_field_bytes = 0
        self._is_complete = False
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            raise _damaged()
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": lambda data, start, end: self._header_name.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header_value.extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin_data,
                    "on_part_data": self._take_data,
                    "on_part_end": self.close,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise _damaged() from error

    def write(self, data: bytes) -> None:
        """Take the next piece of the body.

        Raises:
            UploadRefusal: 400 ``multipart-damaged``; ``upload-too-large``, ``upload-too-many-files``.
        """
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _damaged() from error

    def finish(self) -> None:
        """Say that nothing more comes.

        Raises:
            UploadRefusal: 400 ``upload-truncated`` where the closing boundary did not come.
        """
        self.close()
        if not self._is_complete:
            raise UploadRefusal(400, "upload-truncated", "The upload ends before its end.", "Send it again.")

    def close(self) -> None:
        """Close the file under way, if there is one."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin_part(self) -> None:
        self._is_file = False

    def _end_header(self) -> None:
        name, value = bytes(self._header_name).strip().lower(), bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()
        if name == b"content-disposition":
            options = parse_options_header(value)[1]
            self._is_file = b"filename" in options or b"filename*" in options

    def _begin_data(self) -> None:
        if self._is_file:
            self._file = self._folder.open_next()
            return
        self._num_fields += 1
        if self._num_fields > MAX_FIELDS:
            raise UploadRefusal(413, "upload-too-many-files", f"The form has more than {MAX_FIELDS} fields.")

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._folder.write(self._file, memoryview(data)[start:end])
            return
        self._num_field_bytes += end - start
        if self._num_field_bytes > MAX_FIELD_BYTES:
            raise UploadRefusal(413, "upload-too-large", "The fields of the form that are no files are too large.")

    def _end(self) -> None:
        self._is_complete = True


def _damaged() -> UploadRefusal:
    return UploadRefusal(400, "multipart-damaged", "The multipart body cannot be read.", "Send the files again.")
