"""Landlock: a process bounds for itself, and for all that it starts, which files can be read.

The numbers are the same on every machine: see landlock(7).
"""

import ctypes
import errno
import os
import struct

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
READ_FILE, PATH_BENEATH = 1 << 2, 1
MISSING = (errno.ENOSYS, errno.EOPNOTSUPP)  # before Linux 5.13, or where it is switched off


def read_only_below(paths) -> bool:
    """From now on no file is read but below these paths; False where the kernel cannot do that.

    Folders can be listed as before, files written, programs run.
    """
    try:
        ruleset = _call(CREATE_RULESET, struct.pack("=Q", READ_FILE), 8, 0)
    except OSError as error:
        if error.errno in MISSING:
            return False
        raise
    for path in paths:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
        _call(ADD_RULE, ruleset, PATH_BENEATH, struct.pack("=Qi", READ_FILE, folder), 0)
        os.close(folder)
    _call(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return True


def _call(number, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    given = [part if isinstance(part, bytes) else ctypes.c_long(part) for part in arguments]
    result = libc.syscall(ctypes.c_long(number), *given)
    if result < 0:
        raise OSError(ctypes.get_errno(), "landlock")
    return result
