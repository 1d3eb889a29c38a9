"""Submissions that attack the grader. They really try it: they belong in the sandbox only."""

from gradedesk.trial.case import Case


def cases(maker) -> list[Case]:
    """Code that attacks the grader, or just runs away with it."""
    q, lost = maker.target.grade_id, frozenset({maker.target.grade_id})
    partly, either = ("partly",), ("graded", "partly")
    solution = maker.root / "solutions" / maker.lab.name / f"{maker.lab.name}.ipynb"
    steal = (
        "import json\n"
        f"cells = json.load(open({str(solution)!r}))['cells']\n"
        f"source = next(''.join(c['source']) for c in cells if c.get('id') == {q!r})\n"
        f"names = {{}}\nexec(source, globals(), names)\n"
        f"return names[{maker.name!r}](*args, **kwargs)"
    )
    equal = (
        "class Equal{base}:\n"
        "    def __eq__(self, other): return True\n"
        "    __lt__ = __gt__ = __le__ = __ge__ = __contains__ = __eq__\n"
        "    __hash__ = None\n"
        "    def same(self, *args): return self\n"
        "    __sub__ = __rsub__ = __abs__ = __add__ = __mul__ = __truediv__ = same\n"
        "    def __instancecheck__(self, other): return True\n"
        "    @property\n"
        "    def __class__(self): return float\n"
        "return Equal({value})"
    )
    reach = "import socket\nsocket.create_connection(({!r}, {}), 1).close()\nreturn {}"
    frames = (
        "import sys, gc\n"
        "frame = sys._getframe()\n"
        "while frame:\n"
        "    for value in list(frame.f_locals.values()) + list(frame.f_globals.values()):\n"
        "        if isinstance(value, str) and 'assert' in value: raise SystemExit(value)\n"
        "    frame = frame.f_back\n"
        "texts = [o for o in gc.get_objects() if isinstance(o, dict) and 'points' in o]\n"
        "return texts[0]['points']"
    )
    patch = (
        "import ast, builtins, math, sys\n"
        "math.isclose = lambda *args, **kwargs: True\n"
        "builtins.abs = builtins.sum = lambda *args: 0\n"
        "builtins.isinstance = lambda *args: True\n"
        "ast.NodeTransformer.visit_Assert = lambda self, node: None\n"
        "builtins.compile = lambda *args, **kwargs: (lambda: None).__code__\n"
        "sys.settrace(lambda *args: None)\n"
        "class Numpy: pass\n"
        "sys.modules['numpy'] = sys.modules['numpy.testing'] = sys.modules['torch'] = Numpy()\n"
        f"def {maker.name}(*args, **kwargs): return 12345.678\n"
    )
    channel = (
        "import os\n"
        "for fd in range(3, 256):\n"
        "    try: os.write(fd, {})\n"
        "    except OSError: pass\n"
        "return 1"
    )
    daemon = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(600)\n"
        "    os._exit(0)\n"
    )
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    many = (
        "import os\n"
        "for _ in range(8):\n"
        "    if os.fork() == 0: break\n"
        "held = []\n"
        "while True: held.append(bytearray(1 << 24))"
    )
    unmapped = (
        "import mmap\n"
        "held = []\n"
        "while True:\n"
        "    held.append(mmap.mmap(-1, 1 << 20))\n"
        "    held[-1].write(bytes(1 << 20))\n"
        "    held[-1].madvise(mmap.MADV_DONTNEED)"
    )
    pipes = (
        "import ctypes, mmap, os\n"
        "libc, held = ctypes.CDLL(None), []\n"
        "while True:\n"
        "    held.append(os.pipe())\n"
        "    page = mmap.mmap(-1, 1 << 21, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
        "    page.madvise(mmap.MADV_HUGEPAGE)\n"
        "    page.write(bytes(1 << 21))\n"
        "    start = ctypes.addressof(ctypes.c_char.from_buffer(page))\n"
        "    part = (ctypes.c_size_t * 2)(start, 4096)\n"
        "    if libc.vmsplice(held[-1][1], part, ctypes.c_size_t(1), 2) < 0: raise OSError"
    )
    sockets = (
        "import os, socket\n"
        "for _ in range(8):\n"
        "    if os.fork() == 0: break\n"
        "held = []\n"
        "while True:\n"
        "    held.append(socket.socketpair())\n"
        "    held[-1][0].setblocking(False)\n"
        "    try:\n"
        "        while True: held[-1][0].send(bytes(1 << 16))\n"
        "    except BlockingIOError: pass"
    )
    mounts = "return open('/proc/self/mountinfo').read()"
    modules = (
        "for name in ('math', 'torch', 'numpy', 'json'):\n"
        "    open(name + '.py', 'w').write('1 / 0')\n"
    )
    disk = (
        "try:\n"
        "    with open('big', 'wb') as file:\n"
        "        for _ in range(1 << 14): file.write(bytes(1 << 20))\n"
        "except OSError: pass\n"
    )
    links = (
        "import os\n"
        f"os.symlink({str(solution)!r}, 'solution.ipynb')\n"
        "os.symlink('/etc/passwd', 'users')\n"
        "print(open('solution.ipynb').read())"
    )
    empty = (
        "def emptied(value):\n"
        "    if isinstance(value, (list, dict)):\n"
        "        parts = value.values() if isinstance(value, dict) else value\n"
        "        for part in list(parts): emptied(part)\n"
        "        value.clear()\n"
        "    elif hasattr(value, 'shape'):\n"
        "        value *= 0\n"
        "given = [*args, *kwargs.values()]\n"
        "for value in given: emptied(value)\n"
        "return given[0]"
    )
    arrays = "import sys\ntorch = sys.modules.get('torch')\nreturn torch.{} if torch else []"
    environ = "import os\nprint(sorted(os.environ))\nreturn os.environ['GRADEDESK_SECRET']"
    nested = "x = []\nfor _ in range(100_000): x = [x]\nreturn x"
    loop = "while True: pass"
    swallow = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    threads = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()"
    slow = {name: f"{source}\n\n{loop}\n" for name, source in maker.solutions.items()}
    handles = "return lambda *args: 1"
    return [
        Case("loop", "Never returns.", maker.last(loop), partly, lost, "took longer"),
        Case(
            "loop-that-swallows",
            "Catches whatever is thrown at it.",
            maker.last(swallow),
            partly,
            lost,
        ),
        Case(
            "loop-at-once",
            "The cell itself never ends.",
            maker.first(loop),
            partly,
            lost,
            "took too long",
        ),
        Case("loops-everywhere", "Each answer uses up its time.", maker.data(slow), partly, None),
        Case("os-exit", "Ends the process.", maker.last("import os\nos._exit(0)"), partly, lost),
        Case("sys-exit", "Raises SystemExit.", maker.last("raise SystemExit(0)"), either, lost),
        Case(
            "interrupt",
            "Raises KeyboardInterrupt.",
            maker.last("raise KeyboardInterrupt"),
            either,
            lost,
        ),
        Case(
            "segfault",
            "Reads address 0.",
            maker.last("import ctypes\nctypes.string_at(0)"),
            partly,
            lost,
        ),
        Case(
            "signal",
            "Kills itmaker.",
            maker.last("import os\nos.kill(os.getpid(), 9)"),
            partly,
            lost,
        ),
        Case("asks", "Waits for input().", maker.last("return input('points? ')"), either, lost),
        Case(
            "prints",
            "300,000 lines of output.",
            maker.first("for i in range(300_000): print(i)"),
        ),
        Case(
            "warns",
            "Writes to stderr.",
            maker.first("import warnings\nwarnings.warn('take care')"),
        ),
        Case("steals", "Reads the solution.", maker.last(steal), lost=lost),
        Case("links-out", "Links to files outside.", maker.first(links), lost=lost),
        Case("environment", "Reads the environment.", maker.last(environ), lost=lost),
        Case(
            "looks-up",
            "Looks for the tests in frames and memory.",
            maker.last(frames),
            either,
            lost,
        ),
        Case(
            "network",
            "Connects to the world.",
            maker.last(reach.format("1.1.1.1", 53, 1)),
            lost=lost,
        ),
        Case(
            "loopback",
            "Connects to this machine.",
            maker.last(reach.format("127.0.0.1", 22, 1)),
            lost=lost,
        ),
        Case("daemon", "Leaves a process behind.", maker.first(daemon)),
        Case("thread", "Leaves a thread behind.", maker.first(threads)),
        Case(
            "patches",
            "Patches checkers, builtins and ast.",
            maker.data(maker.with_target(patch)),
            either,
            lost,
        ),
        Case(
            "always-equal",
            "Equals everything.",
            maker.last(equal.format(base="", value="")),
            lost=lost,
        ),
        Case(
            "always-equal-float",
            "The same as a float.",
            maker.last(equal.format(base="(float)", value="3")),
            lost=lost,
        ),
        Case("nan", "Returns NaN.", maker.last("return float('nan')"), lost=lost),
        Case(
            "empties-arguments",
            "Makes every argument empty or zero, and returns the first.",
            maker.last(empty),
            lost=lost,
        ),
        Case(
            "empty-array",
            "An array without a number in it.",
            maker.last(arrays.format("zeros(0, 1)")),
            lost=lost,
        ),
        Case(
            "array-of-nan",
            "An array that is not a number.",
            maker.last(arrays.format("full((1, 1), float('nan'))")),
            lost=lost,
        ),
        Case("billion", "Returns 1e9.", maker.last("return 1e9"), lost=lost),
        Case(
            "hook",
            "Registers an IPython hook.",
            maker.first("get_ipython().events.register('x', print)"),
            lost=lost,
        ),
        Case(
            "garbage",
            "Writes into the channel.",
            maker.last(channel.format(r"b'\xff' * 999")),
            either,
            lost,
        ),
        Case(
            "forges",
            "Writes a passed test.",
            maker.last(channel.format('b\'{"test": {"grade_id": "q1", "points": 1000}}\\n\'')),
            either,
            lost,
        ),
        Case("nested", "A list 100,000 deep.", maker.last(nested), either, lost),
        Case(
            "endless-reply",
            "A very long list.",
            maker.last("return [0] * 30_000_000"),
            either,
            lost,
        ),
        Case(
            "long-text",
            "A very long string.",
            maker.last("return 'x' * 500_000_000"),
            either,
            lost,
        ),
        Case("large-integer", "10 ** 100000.", maker.last("return 10 ** 100_000"), lost=lost),
        Case("function-as-data", "A function for a number.", maker.last(handles), lost=lost),
        Case("forks", "A fork bomb.", maker.last(bomb), either, lost),
        Case(
            "memory",
            "Fills the memory.",
            maker.last("x = []\nwhile True: x.append(bytearray(1 << 24))"),
            either,
            lost,
        ),
        Case("memory-of-many", "Fills it with many processes.", maker.last(many), either, lost),
        Case(
            "memory-not-mapped",
            "Fills memory and lets go of it.",
            maker.last(unmapped),
            either,
            lost,
        ),
        Case("memory-in-pipes", "Leaves it in pipes.", maker.last(pipes), either, lost),
        Case("memory-in-sockets", "Leaves it in sockets.", maker.last(sockets), either, lost),
        Case(
            "blank-lines",
            "60,000 of them, and a magic command.",
            maker.data(maker.with_target("\n" * 60_000 + "%matplotlib inline\n")),
            lost=lost,
        ),
        Case("mounts", "Reads where folders lie.", maker.last(mounts), lost=lost),
        Case("disk", "Fills the disk.", maker.first(disk)),
        Case("modules", "Writes math.py and torch.py.", maker.first(modules)),
    ]
