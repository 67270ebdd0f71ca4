#!/usr/bin/env python3
"""Draws each board as it stands, with Grafana's own components in headless Chromium: what `live.py --pictures` calls at its end.

The page in pictures/ is built once, outside the repository. Pictures have 128 colours, so that the repository stays small."""

import functools
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading

HERE = pathlib.Path(__file__).parent
CACHE = pathlib.Path.home() / ".cache" / "einmal" / "pictures"
BYTES_MAX = 150_000


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def built():
    """The page, for a web server to serve."""
    CACHE.mkdir(parents=True, exist_ok=True)
    sources = [HERE / "pictures" / name for name in ("package.json", "index.html", "main.jsx")]
    if not all((CACHE / source.name).exists() and (CACHE / source.name).read_bytes() == source.read_bytes() for source in sources) or not (CACHE / "dist").exists():
        subprocess.run([HERE.parent / "scripts" / "need", "node"], check=True)
        for source in sources:
            shutil.copy(source, CACHE)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=CACHE, check=True)
        subprocess.run(["npx", "vite", "build", "--logLevel", "error"], cwd=CACHE, check=True)
    return CACHE / "dist"


def shoot(url, path, width, height, budget=("--virtual-time-budget=20000",)):
    """A picture of a page; `budget` lets it ask for data before."""
    subprocess.run([HERE.parent / "scripts" / "need", "chromium"], check=True)
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}", f"--window-size={width},{height}", *budget, f"--screenshot={path}", url],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=180,
        )
    python = subprocess.run([HERE.parent / "compat-tests" / "venv", "pillow==11.3.0"], check=True, capture_output=True, text=True).stdout.strip()
    shrink = "import sys; from PIL import Image; Image.open(sys.argv[1]).convert('RGB').quantize(128, dither=0).save(sys.argv[1], optimize=True)"
    subprocess.run([python, "-c", shrink, path], check=True)
    if os.path.getsize(path) > BYTES_MAX:
        raise SystemExit(f"{path} has {os.path.getsize(path)} bytes, more than {BYTES_MAX}")


def draw(prometheus, admin, directory, minutes=5):
    directory = pathlib.Path(directory).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    page = built()
    with tempfile.TemporaryDirectory() as root, http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=root)) as server:
        root = pathlib.Path(root)
        shutil.copytree(page, root, dirs_exist_ok=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for path in sorted((HERE / "dashboards").glob("*.json")):
            shutil.copy(path, root)
            bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in json.loads(path.read_text())["panels"])
            page = f"http://127.0.0.1:{server.server_port}/index.html?board=/{path.name}&prometheus={prometheus}&minutes={minutes}"
            # The text at the end is for those who read the board.
            shoot(page, directory / f"{path.stem}.png", 1600, min(bottom * 34 + 60, 1900))
        server.shutdown()
    if admin:
        shoot(f"{admin}/", directory / "admin.png", 1100, 900, ())
