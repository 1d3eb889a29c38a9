"""Stand-ins: what a test calls when it calls a student's function.

The function itself lives in the sandbox. A test cell, run here, sees a StandIn under the
function's name and uses it like the function; what comes back is plain data, and a StandIn again
for what is none. A StandIn can be called, passed on and asked for attributes. It has no value of
its own, so that comparing it is an error and never true.
"""

import copy

from gradedesk.sandbox import Reply, Sandbox, StudentException, wire


class StudentError(AssertionError):
    """The student's code raised, or what it gave is not what a test can use.

    The text is like "ZeroDivisionError: division by zero"; `where` like "q1, line 4: return 1 / 0".
    """

    def __init__(self, message: str, where: str = ""):
        super().__init__(message)
        self.where = where


class StandIn:
    """What the student calls `name` (or what a handle stands for), for a test to use.

    sandbox: where it lives; its SandboxErrors pass through
    timeout: seconds of each call; without it the sandbox's own limit
    on_reply: called with each Reply, for who keeps what is printed
    """

    def __init__(self, sandbox: Sandbox, name: str | wire.Handle, *, timeout=None, on_reply=None):
        # Past our own __setattr__, which refuses, and under names that no student takes.
        vars(self).update(
            _standin_sandbox=sandbox,
            _standin_name=name,
            _standin_timeout=timeout,
            _standin_on_reply=on_reply,
        )

    def __call__(self, *args, **kwargs):
        return self._standin_call(args, kwargs)[0]

    def _standin_after(self, *args):
        """What a call with `args` gives, and `args` as the student's function left them: copies.

        A plain call never touches the test's own objects: what a test expects is computed from
        what it made itself, whenever it does so.
        """
        value, changed = self._standin_call(args, {})
        left = [changed[i] if i in changed else _copied(arg) for i, arg in enumerate(args)]
        return value, left

    def _standin_call(self, args, kwargs):
        packable = [_outward(list(args), self), _outward(kwargs, self)]
        try:
            reply = self._standin_sandbox.call(
                self._standin_name, *packable, timeout=self._standin_timeout
            )
        except wire.WireError as error:
            raise StudentError(f"cannot be called: an argument is or holds {error}") from None
        value = self._standin_take(reply)
        return value, {key: self._standin_inward(changed) for key, changed in reply.args.items()}

    def __getattr__(self, name):
        if name.startswith("__") and name.endswith("__"):
            # Python, NumPy and copy look for their protocols here: there are none.
            raise AttributeError(name)
        reply = self._standin_sandbox.getattr(
            self._standin_name, name, timeout=self._standin_timeout
        )
        return self._standin_take(reply)

    def _standin_take(self, reply: Reply):
        if self._standin_on_reply is not None:
            self._standin_on_reply(reply)
        if reply.error is not None:
            raise _student_error(reply.error)
        return self._standin_inward(reply.value)

    def _standin_inward(self, value):
        """Plain data as it is; a StandIn for each handle in it."""
        if type(value) is wire.Handle:
            options = {"timeout": self._standin_timeout, "on_reply": self._standin_on_reply}
            return StandIn(self._standin_sandbox, value, **options)
        if type(value) is list:
            return [self._standin_inward(item) for item in value]
        if type(value) is dict:
            return {key: self._standin_inward(item) for key, item in value.items()}
        return value

    def __repr__(self):
        name = self._standin_name
        return f"<{name.kind} in the sandbox>" if type(name) is wire.Handle else f"<{name}>"

    def __format__(self, spec):
        if spec:
            self.__float__()  # which says that it is no number
        return repr(self)

    def __hash__(self):
        return id(self)


def _student_error(error: StudentException) -> StudentError:
    return StudentError(str(error) or "Exception", error.where)


def _refusing(operation):
    def refuse(self, *args, **kwargs):
        name = self._standin_name
        what = f"a result ({name.kind})" if type(name) is wire.Handle else f"`{name}`"
        raise StudentError(f"{what} is not plain data: a test cannot {operation}")

    return refuse


for _operation, _methods in {
    "compare it": "eq ne lt le gt ge",
    "take its length": "len length_hint",
    "go through it": "iter next reversed contains",
    "ask whether it is true": "bool",
    "index it": "getitem setitem delitem index",
    "calculate with it": (
        "add sub mul truediv floordiv mod divmod pow matmul and or xor lshift rshift "
        "radd rsub rmul rtruediv rfloordiv rmod rdivmod rpow rmatmul rand ror rxor rlshift rrshift "
        "neg pos abs invert round trunc floor ceil"
    ),
    "turn it into a number": "int float complex",
    "turn it into bytes": "bytes",
    "turn it into an array": "array",
    "copy it": "copy deepcopy reduce reduce_ex",
    "use it in `with`": "enter exit",
    "set its attributes": "setattr delattr",
}.items():
    for _method in _methods.split():
        setattr(StandIn, f"__{_method}__", _refusing(_operation))


def _outward(value, standin):
    """Arguments with each StandIn in them as the handle it is."""
    if type(value) is StandIn:
        name = value._standin_name
        if type(name) is not wire.Handle:
            return wire.Handle(name)
        if value._standin_sandbox is not standin._standin_sandbox:
            raise TypeError("a result of another sandbox")
        return name
    if type(value) in (list, tuple):
        return [_outward(item, standin) for item in value]
    if type(value) is dict:
        return {key: _outward(item, standin) for key, item in value.items()}
    return value


def _copied(value):
    return value if type(value) is StandIn else copy.deepcopy(value)
