"""Stands for the Hugging Face hub: serves folders as its repositories, by the few addresses a download asks for."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HubServer(ThreadingHTTPServer):
    """Repositories lie under `root`: models as owner/name, data sets as datasets/owner/name. Another revision than main
    lies beside it as name@revision, slashes in it written %2F."""

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.paths: list[str] = []
        """What was asked for."""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> HubServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: HubServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = self.path.partition("?")[0].strip("/")
        self.server.paths.append(unquote(path))
        if path.startswith("api/"):
            # api/models/OWNER/NAME[/revision/main], or .../tree/main
            _, kind, owner, name, *rest = path.split("/")
            revision = rest[1] if len(rest) > 1 else "main"
            folder = self._folder(f"{'' if kind == 'models' else f'{kind}/'}{owner}/{name}", revision)
            files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
            if "/tree/" in path:
                content = json.dumps(
                    [
                        {"type": "file", "path": f, "size": (folder / f).stat().st_size, "oid": _oid(folder / f)}
                        for f in files
                    ]
                )
            else:
                content = json.dumps(
                    {
                        "id": f"{owner}/{name}",
                        "sha": _commit(revision),
                        "siblings": [{"rfilename": file} for file in files],
                    }
                )
            self._send(content.encode() if files else b"", 200 if files else 404, body, revision)
            return
        repository, _, rest = path.partition("/resolve/")
        revision, _, inside = rest.partition("/")
        file = self._folder(repository, revision) / unquote(inside)
        if not file.is_file():
            self._send(b"", 404, body, revision)
            return
        self._send(file.read_bytes(), 200, body, revision, ETag=f'"{_oid(file)}"')

    def _folder(self, repository: str, revision: str) -> Path:
        return self.server.root / (repository if revision in ("main", COMMIT) else f"{repository}@{revision}")

    def _send(self, content: bytes, status: int, body: bool, revision: str, **headers: str) -> None:
        self.send_response(status)
        if status == 404:
            self.send_header("X-Error-Code", "EntryNotFound")
        sent = {"X-Repo-Commit": _commit(revision), "Content-Length": str(len(content)), **headers}
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def _oid(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()


def _commit(revision: str) -> str:
    return COMMIT if revision in ("main", COMMIT) else hashlib.sha1(revision.encode()).hexdigest()
