#!/usr/bin/env python3
# The GPU library finds NCCL where there is one, judges its version and finds every function that it calls, as `devices` tells: the machine's own
# library if it has one (no GPU is needed for that), one of another version, one that lacks a function, and none.
#   test_nccl.py PROGRAM FAKE LACKS      directories of a libnccl.so.2 each; 77: no GPU library here
import ctypes, json, os, subprocess, sys

PROGRAM, FAKE, LACKS = sys.argv[1:4]


def told(**env):
    done = subprocess.run([PROGRAM, "devices", "--json"], env=dict(os.environ, **env), stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)["exchange"]


def own_version():
    try:
        library = ctypes.CDLL("libnccl.so.2")
    except OSError:
        return None
    version = ctypes.c_int()
    assert library.ncclGetVersion(ctypes.byref(version)) == 0
    return version.value


def main():
    if told() == "":
        print("there is no GPU library here")
        sys.exit(77)
    version = own_version()
    if version is None:
        assert told().startswith("through the host (libnccl.so.2:"), told()
    else:
        assert told() == "NCCL %d.%d.%d" % (version // 10000, version // 100 % 100, version % 100), told()
    assert told(SHARDMILL_NCCL="off") == "through the host (SHARDMILL_NCCL=off)", told(SHARDMILL_NCCL="off")
    for number, wanted in [("21400", "NCCL 2.14.0"), ("22809", "NCCL 2.28.9"), ("29999", "NCCL 2.99.99"), ("2708", None), ("21399", None), ("30000", None),
                           ("0", None)]:
        text = told(LD_LIBRARY_PATH=FAKE, NCCL_FAKE_VERSION=number)
        assert text == (wanted or "through the host (libnccl.so.2 has version number %s, not 21400 to 29999)" % number), text
    text = told(LD_LIBRARY_PATH=LACKS, NCCL_FAKE_VERSION="22809")
    assert text.startswith("through the host (") and "ncclAllGather" in text, text
    print("NCCL of this machine: %s; 9 others judged" % version)


main()
