"""Members of a zip file, those compressed with Zstandard too, which Python reads by itself from 3.14 on only."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

from assay.errors import DataError

ZSTANDARD = 93
"""The number of the method in a zip file's directory."""
MAX_MEMBER_BYTES = 1 << 30
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
INSTALL = "pip install 'assay[logs]'"


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The content of a member, whichever of stored, deflated and Zstandard it is.

    Raises:
        DataError: it is larger than a gibibyte, damaged, or of another method; or nothing that reads Zstandard is
            installed.
    """
    place = f"{archive.filename}, member {member.filename}"
    if member.file_size > MAX_MEMBER_BYTES:
        raise DataError(
            f"{place} says that it has {member.file_size:,} bytes, more than the {MAX_MEMBER_BYTES:,} that are read"
        )
    try:
        if member.compress_type != ZSTANDARD:
            return archive.read(member)
        content = _decompressor(place)(_raw(archive, member), member.file_size)
    except NotImplementedError:
        raise DataError(f"{place} is compressed by method {member.compress_type}, which cannot be read") from None
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, RuntimeError) as error:
        raise DataError(f"{place} is damaged: {error}") from None
    if len(content) != member.file_size or zlib.crc32(content) != member.CRC:
        raise DataError(f"{place} is damaged: its content is not what its checksum is of")
    return content


def _raw(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The compressed bytes of a member."""
    file: Any = archive.fp
    file.seek(member.header_offset)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size:
        raise zipfile.BadZipFile("its header is cut off")
    fields = _LOCAL_HEADER.unpack(header)
    if fields[0] != b"PK\x03\x04":
        raise zipfile.BadZipFile("its header is none")
    file.seek(fields[-2] + fields[-1], 1)
    return file.read(member.compress_size)


def _decompressor(place: str) -> Callable[[bytes, int], bytes]:
    """What turns bytes and the size of their content into the content, never into more."""
    try:
        import zstandard  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise DataError(f"{place} is compressed with Zstandard; to read it: {INSTALL}") from None

    def decompress(data: bytes, size: int) -> bytes:
        try:
            with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
                return reader.read(size + 1)
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from None

    return decompress
