"""Compile the kernels of networks in the page: ``python tools/kernels.py``, or ``make kernels``.

Needs clang and lld that know WebAssembly (Debian: ``apt install clang lld``). The bytes go, as base64, into
``segcore/widgets/static/kit/kernels.js`` beside the source's checksum and the compiler's name; with
``--check`` nothing is written, and the exit code says whether they are the source's.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

KIT = Path(__file__).parents[1] / "segcore" / "widgets" / "static" / "kit"
SOURCE, TARGET = KIT / "kernels.c", KIT / "kernels.js"
COMMAND = ["clang", "--target=wasm32", "-O3", "-msimd128", "-nostdlib", "-ffreestanding", "-Wl,--no-entry"]
COMMAND += ["-Wl,--strip-all", "-Wl,--initial-memory=131072", "-Wl,-z,stack-size=8192"]


def checksum() -> str:
    """SHA-256 of the source."""
    return hashlib.sha256(SOURCE.read_bytes()).hexdigest()


def compiler() -> str | None:
    """Name and version of the compiler, or None where one is missing."""
    if not (shutil.which("clang") and shutil.which("wasm-ld")):
        return None
    said = subprocess.run(["clang", "--version"], capture_output=True, text=True, check=True).stdout
    return "clang " + said.partition("version ")[2].split()[0]


def compiled() -> str:
    """The module that the page takes, made from the source."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernels.wasm"
        subprocess.run([*COMMAND, "-o", str(path), str(SOURCE)], check=True)
        text = base64.b64encode(path.read_bytes()).decode("ascii")
    return (
        f"// WebAssembly made from kernels.c by `make kernels` with {compiler()}. Do not edit.\n"
        f"// SHA-256 of the source: {checksum()}\n\n"
        f'export const KERNELS =\n  "{text}";\n'
    )


def main() -> int:
    """Compile, and write or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; say whether the bytes are right")
    options = parser.parse_args()
    if compiler() is None:
        print("clang or wasm-ld is missing; on Debian: apt install clang lld", file=sys.stderr)
        return 2
    if options.check:
        return 0 if compiled() == TARGET.read_text(encoding="utf-8") else 1
    TARGET.write_text(compiled(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
