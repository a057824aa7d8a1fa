#!/usr/bin/env python3
"""An installed program is whole: it runs from its new place and finds there each library that it opens at run time, its pages and completions.

usage: test_install.py CMAKE BUILD [LIBRARY...]   (standard library only)"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CMAKE, BUILD, LIBRARIES = sys.argv[1], sys.argv[2], sys.argv[3:]


def main():
    with tempfile.TemporaryDirectory() as prefix:
        subprocess.run([CMAKE, "--install", BUILD, "--prefix", prefix], check=True, stdout=subprocess.DEVNULL)
        files = {p.name: p for p in Path(prefix).rglob("*") if p.is_file()}
        for name in ["shardmill", "shardmill.h", "libshardmill.a", "shardmill.1", "_shardmill", *LIBRARIES]:
            assert name in files, f"{name} was not installed; there are {sorted(files)}"
        for name in LIBRARIES:
            assert files[name].parent.name == "shardmill" and files[name].parent.parent.name.startswith("lib"), files[name]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SHARDMILL") and k != "LD_LIBRARY_PATH"}
        found = subprocess.run([str(Path(prefix) / "bin" / "shardmill"), "devices"], env=environment, cwd="/", check=True, stdout=subprocess.PIPE).stdout.decode()
        assert "libmill_cuda.so" not in LIBRARIES or "no GPU library" not in found, found
        assert "libmill_parquet.so" not in LIBRARIES or "Parquet      Arrow" in found, found
        print(f"{len(files)} files installed, {len(LIBRARIES)} libraries found by the program")


main()
