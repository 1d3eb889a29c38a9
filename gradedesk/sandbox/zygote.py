"""Runs inside bubblewrap: imports what a lab needs once, and forks a sandbox for each submission.

    python zygote.py SETTINGS_JSON

This process never runs a student's code. Requests come by standard input, a socket: the settings of
one sandbox and the four file descriptors it will have. A copy of this process moves into namespaces
of its own (processes, mounts, network, IPC, names; users too, unless we are root), puts fresh
folders over ours, gives up every right, and only then starts the worker. Any other way in or out
is closed: what an earlier submission did, ended with its namespaces.
"""

import ctypes
import gc
import json
import os
import re
import socket
import struct
import sys

import worker

CONTROL = 3  # the descriptor on which a first process tells the desk of the worker's end
NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
    0x00020000,
    0x04000000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
RDONLY, NOSUID, NODEV, NOEXEC, BIND, REC, PRIVATE = 1, 2, 4, 8, 0x1000, 0x4000, 0x40000  # mount(2)
SET_SECCOMP, DROP_BOUND, SET_NO_NEW_PRIVS = 22, 24, 38  # of prctl(2)
CAPABILITIES = 0x20080522  # version 3 of capset(2)

libc = ctypes.CDLL(None, use_errno=True)
libc.mount.argtypes = [*[ctypes.c_char_p] * 3, ctypes.c_ulong, ctypes.c_char_p]
libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]


def call(name, *args):
    if getattr(libc, name)(*args) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("rules", ctypes.c_char_p))


def main():
    requests = socket.socket(fileno=0)
    settings = json.loads(sys.argv[1])
    del sys.argv[1:]
    if pid := os.fork():
        worker.wait(requests, pid)  # as bubblewrap's first process, which ends with the desk
    worker.preload(settings)
    if len(os.listdir("/proc/self/task")) > 1:
        sys.exit("an import has started threads, which no fork can copy")
    gc.collect()
    gc.freeze()  # else the collector would write to, and so copy, what all share
    while True:
        message, fds, _, _ = socket.recv_fds(requests, 1 << 16, 4)
        if not message:
            return  # the desk has gone
        pid = os.fork()
        if pid == 0:
            requests.detach()
            start(json.loads(message), fds)
        for fd in fds:
            os.close(fd)
        os.waitpid(pid, 0)


def start(settings, fds):
    """In a copy of the zygote: become a sandbox, or say why not. Does not return."""
    try:
        for number, fd in enumerate(fds):  # always to a lower number: 0 to 2 are taken before
            os.dup2(fd, number)
        os.closerange(CONTROL + 1, os.sysconf("SC_OPEN_MAX"))
        control = socket.socket(fileno=CONTROL)
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")  # before anything else, should the machine run short of memory
        separate(as_root=bool(settings["uid"]))
        if os.fork():
            os._exit(0)
        furnish(settings["folders"], settings["file_bytes"])
        worker.introduce(control)
        bind()
        worker.limit(settings)
        give_up(bytes.fromhex(settings["rules"]))
        worker.guard(control)
    except BaseException as error:
        os.write(CONTROL, str(error).encode()[:500])
        os._exit(1)
    worker.serve(settings, *worker.take_channel())


def separate(as_root):
    """New namespaces; the one of processes begins with our next child."""
    user, group = os.getuid(), os.getgid()
    kinds = NEWNS | NEWUTS | NEWIPC | NEWPID | NEWNET
    call("unshare", kinds if as_root else kinds | NEWUSER)
    if not as_root:  # the same user, whose processes are counted anew
        for name, text in {
            "setgroups": "deny",
            "uid_map": f"{user} {user} 1",
            "gid_map": f"{group} {group} 1",
        }.items():
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def furnish(folders, size):
    """Empty folders in memory, and a read-only /proc with nobody else in it."""
    call("mount", b"none", b"/", None, REC | PRIVATE, None)
    below = [(path, os.open(path, os.O_PATH)) for path in mounted_below(folders)]
    for folder in folders:
        options = f"size={size},mode=1777".encode()
        call("mount", b"tmpfs", folder.encode(), b"tmpfs", NOSUID | NODEV, options)
    for path, fd in below:  # back to its place, as read-only as it was
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            os.makedirs(path, exist_ok=True)
        else:  # such as pyvenv.cfg
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        call("mount", f"/proc/self/fd/{fd}".encode(), os.fsencode(path), None, BIND | REC, None)
        os.close(fd)
    call("mount", b"proc", b"/proc", b"proc", RDONLY | NOSUID | NODEV | NOEXEC, None)
    os.chdir(folders[-1])


def mounted_below(folders):
    """What is mounted below these folders, outermost only: Python, in a course below /tmp."""
    with open("/proc/self/mountinfo", "rb") as file:
        points = [os.fsdecode(unescape(line.split(b" ")[4])) for line in file]
    outermost = []
    for point in sorted(points):
        inside = any(point.startswith(folder + "/") for folder in folders)
        if inside and os.path.exists(point) and point not in folders:
            if not any(point.startswith(other + "/") for other in outermost):
                outermost.append(point)
    return outermost


def unescape(path):
    """A path out of mountinfo: any bytes, of which Linux writes a few as their octal number."""
    return re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), path)


def bind():
    """No program that is started from here on can have any capability again."""
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    for capability in range(last + 1):
        call("prctl", DROP_BOUND, capability, 0, 0, 0)


def give_up(rules):
    """Every capability, and every system call but those that `rules` allow."""
    program = Program(len(rules) // 8, rules)
    call("prctl", SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    call("capset", struct.pack("Ii", CAPABILITIES, 0), bytes(24))
    call("prctl", SET_SECCOMP, 2, ctypes.addressof(program), 0, 0)


if __name__ == "__main__":
    main()
