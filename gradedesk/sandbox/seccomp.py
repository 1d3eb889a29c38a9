"""The system calls that a sandbox may make, as the kernel's filter: see seccomp(2).

What is not in the list does not exist: it is answered with ENOSYS, as by a kernel that is too old.
The C library, Python and PyTorch are written for that answer and take another way (clone for
clone3, read and write for sendfile, fcntl for flock), where EPERM would be an error to many. What
is in the list, and does harm with some arguments only, answers those as the kernel would refuse
them.

Not in the list, on purpose:
- new namespaces and mounts, other processes' memory (ptrace, process_vm_*, pidfd_getfd, kcmp,
  process_madvise), other users, keys, modules, BPF, performance counters, userfaultfd, io_uring,
  personality, own filters, raw time and power: doors into the kernel that no lab needs;
- memory that no limit counts and no look at a process shows: memfd_*, System V's and POSIX's
  shared memory, semaphores and message queues, asynchronous I/O, locked memory, and pages that a
  pipe keeps after their file has let go of them (vmsplice, splice, tee, sendfile);
- what reaches other sandboxes through the files that all of them read: flock, fcntl's leases,
  notices and look at others' locks, inotify, fanotify, and what looks into the cache of files
  (mincore, preadv2); sync, which waits for all of the machine's disks.
"""

import errno
import platform
import struct

# Name, number on x86_64, number on aarch64; "-" where the machine has none.
ALLOWED = """
Memory of its own: a process's is bounded by its limits and seen by the watchman.
    brk 12 214, madvise 28 233, mmap 9 222, mprotect 10 226, mremap 25 216, msync 26 227,
    munmap 11 215
Files, in the folders that it may write to and in those that it may only read.
    access 21 -, chdir 80 49, chmod 90 -, chown 92 -, close 3 57, close_range 436 436, creat 85 -,
    dup 32 23, dup2 33 -, dup3 292 24, faccessat 269 48, faccessat2 439 439, fadvise64 221 223,
    fallocate 285 47, fchdir 81 50, fchmod 91 52, fchmodat 268 53, fchmodat2 452 452, fchown 93 55,
    fchownat 260 54, fcntl 72 25, fdatasync 75 83, fstat 5 80, fstatfs 138 44, fsync 74 82,
    ftruncate 77 46, futimesat 261 -, getcwd 79 17, getdents64 217 61, ioctl 16 29, lchown 94 -,
    link 86 -, linkat 265 37, lseek 8 62, lstat 6 -, mkdir 83 -, mkdirat 258 34, mknod 133 -,
    mknodat 259 33, newfstatat 262 79, open 2 -, openat 257 56, pread64 17 67, preadv 295 69,
    pwrite64 18 68, pwritev 296 70, read 0 63, readlink 89 -, readlinkat 267 78, readv 19 65,
    rename 82 -, renameat 264 38, renameat2 316 276, rmdir 84 -, stat 4 -, statfs 137 43,
    statx 332 291, symlink 88 -, symlinkat 266 36, truncate 76 45, umask 95 166, unlink 87 -,
    unlinkat 263 35, utime 132 -, utimensat 280 88, utimes 235 -, write 1 64, writev 20 66
Its own bound on what can be read, which can only be drawn tighter.
    landlock_add_rule 445 445, landlock_create_ruleset 444 444, landlock_restrict_self 446 446
Only to look at: copying a file asks for its extended attributes.
    fgetxattr 193 10, flistxattr 196 13, getxattr 191 8, lgetxattr 192 9, listxattr 194 11,
    llistxattr 195 12
Pipes, events and sockets between its own processes: asyncio, subprocess, multiprocessing.
    accept 43 202, accept4 288 242, bind 49 200, connect 42 203, epoll_create1 291 20,
    epoll_ctl 233 21, epoll_pwait 281 22, epoll_wait 232 -, eventfd2 290 19, getpeername 52 205,
    getsockname 51 204, getsockopt 55 209, listen 50 201, pipe 22 -, pipe2 293 59, poll 7 -,
    ppoll 271 73, pselect6 270 72, recvfrom 45 207, recvmsg 47 212, select 23 -, sendmsg 46 211,
    sendto 44 206, setsockopt 54 208, shutdown 48 210, socket 41 198, socketpair 53 199
Processes and threads: no more than its limit, and all of them end with the first.
    arch_prctl 158 -, clone 56 220, execve 59 221, exit 60 93, exit_group 231 94, fork 57 -,
    futex 202 98, getcpu 309 168, membarrier 324 283, prctl 157 167, restart_syscall 219 128,
    rseq 334 293, sched_yield 24 124, set_robust_list 273 99, set_tid_address 218 96, vfork 58 -,
    wait4 61 260, waitid 247 95
What it is and may use. Limits and priority can only be lowered, a group be its own.
    getegid 108 177, geteuid 107 175, getgid 104 176, getgroups 115 158, getpgid 121 155,
    getpgrp 111 -, getpid 39 172, getppid 110 173, getpriority 140 141, getrandom 318 278,
    getresgid 120 150, getresuid 118 148, getrusage 98 165, getsid 124 156, gettid 186 178,
    getuid 102 174, prlimit64 302 261, sched_get_priority_max 146 125,
    sched_get_priority_min 147 126, sched_getaffinity 204 123, sched_getparam 143 121,
    sched_getscheduler 145 120, sched_setaffinity 203 122, setpgid 109 154, setpriority 141 140,
    setsid 112 157, sysinfo 99 179, uname 63 160
Root's worker.py becomes another user by these, and can do so once.
    setgroups 116 159, setresgid 119 149, setresuid 117 147
Signals, to processes that it sees.
    kill 62 129, pause 34 -, pidfd_open 434 434, pidfd_send_signal 424 424, rt_sigaction 13 134,
    rt_sigpending 127 136, rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigsuspend 130 133,
    rt_sigtimedwait 128 137, sigaltstack 131 132, tgkill 234 131, tkill 200 130
Time.
    alarm 37 -, clock_getres 229 114, clock_gettime 228 113, clock_nanosleep 230 115,
    getitimer 36 102, gettimeofday 96 169, nanosleep 35 101, setitimer 38 103, time 201 -,
    times 100 153
"""
# Machine: its AUDIT_ARCH, and the column of its numbers.
MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

# Call: which argument, the values that it may have, the answer to others.
ONLY = {
    # How it will be read. Not DONTNEED, which empties the cache that all share.
    # NORMAL, RANDOM, SEQUENTIAL, WILLNEED
    "fadvise64": (3, (0, 1, 2, 3), errno.EINVAL),
    # To copy descriptors, to keep them from children, not to wait on them; and to lock a file
    # (sqlite3 must). Only a file that can be written to can be kept from others so, and all such
    # files are its own, but for devices such as /dev/null. Not to ask for others' locks, which
    # files to read can have.
    # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_SETLK, F_SETLKW, F_DUPFD_CLOEXEC
    "fcntl": (1, (0, 1, 2, 3, 4, 6, 7, 1030), errno.EINVAL),
    # The same, and whether it is a terminal and how wide; nothing that writes to one.
    # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, TCGETS2
    "ioctl": (1, (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451, 0x802C542A), errno.ENOTTY),
    # What allocators say of their own memory. Not MERGEABLE, which shares with other processes.
    # NORMAL to DONTNEED, FREE, REMOVE, DONTFORK, DOFORK, HUGEPAGE to DODUMP, WIPEONFORK,
    # KEEPONFORK, COLLAPSE, GUARD_INSTALL, GUARD_REMOVE
    "madvise": (
        2,
        (0, 1, 2, 3, 4, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 25, 102, 103),
        errno.EINVAL,
    ),
    # Not to be looked into, as the first process does; names of threads and of memory; the width of
    # vectors. PR_SET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_CAPBSET_READ, PR_SVE_GET_VL, PR_SET_VMA
    "prctl": (0, (4, 15, 16, 23, 51, 0x53564D41), errno.EINVAL),
    "prlimit64": (0, (0,), errno.EPERM),  # of the process itself
    # What a server sets, and how long to wait. Not how much a socket may keep for nobody.
    # SO_REUSEADDR, SO_KEEPALIVE, SO_PASSCRED, SO_RCVTIMEO and SO_SNDTIMEO, old and new
    "setsockopt": (2, (2, 9, 16, 20, 21, 66, 67), errno.ENOPROTOOPT),
    # AF_UNIX. There is no network inside, and the kernel's is large.
    # Said to be done, and not done. The kernel shares the processors out among sessions (sched(7)):
    # who makes many of them would have the share of as many submissions.
    "setsid": (0, (), 0),
    "socket": (0, (1,), errno.EAFNOSUPPORT),
    "socketpair": (0, (1,), errno.EAFNOSUPPORT),
}
NEW_NAMESPACES = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
SHARED_ANONYMOUS, HUGETLB = 0x21, 0x40000  # of mmap(2)


def numbers(machine: str) -> dict[str, int]:
    """The numbers of the calls in the list, by name."""
    column = 1 + MACHINES[machine][1]
    lines = [line for line in ALLOWED.splitlines() if line.startswith(" ")]
    calls = [call.split() for line in lines for call in line.split(",") if call.strip()]
    return {call[0]: int(call[column]) for call in calls if call[column] != "-"}


def rules(machine: str | None = None) -> bytes:
    """The filter as the kernel's BPF, for this machine or another one of MACHINES."""
    machine = machine or platform.machine()
    load, equal, more, at_least, bits, mask, give = 0x20, 0x15, 0x25, 0x35, 0x45, 0x54, 0x06
    number, arch, argument = 0, 4, 16  # offsets in struct seccomp_data; the low half comes first
    allow, kill, fail = 0x7FFF0000, 0x80000000, 0x00050000
    calls = numbers(machine)

    made = [(load, 0, 0, arch), (equal, 1, 0, MACHINES[machine][0]), (give, 0, 0, kill)]
    made.append((load, 0, 0, number))

    def on(name, which, *then):
        """If it is this call: load an argument and go on with `then`, which ends the filter."""
        made.append((equal, 0, 1 + len(then), calls.pop(name)))
        made.extend([(load, 0, 0, argument + 8 * which), *then])

    for name, (which, values, error) in ONLY.items():
        tests = [(equal, len(values) - place, 0, value) for place, value in enumerate(values)]
        on(name, which, *tests, (give, 0, 0, fail | error), (give, 0, 0, allow))
    refuse = (give, 0, 0, fail | errno.EPERM)
    on("clone", 0, (bits, 0, 1, NEW_NAMESPACES), refuse, (give, 0, 0, allow))
    # Memory that is shared and has no file, or that the system has set aside: counted nowhere.
    on(
        "mmap",
        3,
        (bits, 2, 0, HUGETLB),
        (mask, 0, 0, SHARED_ANONYMOUS),
        (equal, 0, 1, SHARED_ANONYMOUS),
        refuse,
        (give, 0, 0, allow),
    )
    for first, last in _ranges(calls.values()):
        made.extend([(at_least, 0, 2, first), (more, 1, 0, last), (give, 0, 0, allow)])
    made.append((give, 0, 0, fail | errno.ENOSYS))
    return b"".join(struct.pack("=HBBI", *rule) for rule in made)


def _ranges(values):
    """The first and the last of each run of whole numbers."""
    runs = []
    for value in sorted(values):
        if runs and runs[-1][1] == value - 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return runs
