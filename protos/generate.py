"""Generates `protos/gen/` from the contracts: `python protos/generate.py [OUTPUT]`.

The output is committed; a contract test generates it anew and compares. It is an import root of its own
(`splits.chat.…` and `buf.validate`), because generated code imports by proto path.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import grpc_tools

PROTOS = Path(__file__).resolve().parent
VENDOR = PROTOS / "vendor"


def generate(output: Path) -> None:
    """Replaces `output` with freshly generated modules and their type stubs."""
    own = sorted((PROTOS / "splits").rglob("*.proto"))
    vendored = sorted(VENDOR.rglob("*.proto"))
    if output.exists():
        shutil.rmtree(output)
    output.mkdir(parents=True)
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    bin_dir = Path(sys.executable).parent
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        # First, since it lies inside PROTOS: protoc names a file by the first root that holds it.
        f"-I{VENDOR}",
        f"-I{PROTOS}",
        f"-I{well_known}",
        f"--plugin=protoc-gen-mypy={bin_dir / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={bin_dir / 'protoc-gen-mypy_grpc'}",
        f"--python_out={output}",
        f"--mypy_out=quiet:{output}",
    ]
    subprocess.run([*command, *map(str, own + vendored)], check=True)  # noqa: S603 - our own arguments
    services = [path for path in own if path.name == "service.proto"]
    grpc_outputs = [f"--grpc_python_out={output}", f"--mypy_grpc_out=quiet:{output}"]
    subprocess.run([*command, *grpc_outputs, *map(str, services)], check=True)  # noqa: S603 - the same


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else PROTOS / "gen")
