"""What is counted while a server runs, and how it is read: plain text, as Prometheus reads it."""

import threading
import time
from collections import Counter, deque

RECENT = 10  # answers of which the speed is told


class Counts:
    """Numbers that only grow, but for those of now. Two threads write to them."""

    def __init__(self):
        self.lock = threading.RLock()
        self.answers: Counter[int] = Counter()  # by status
        self.tokens_in = self.tokens_out = 0
        self.writing = 0.0  # seconds in which the model worked
        self.inside = 0  # requests that have a place: in the queue, or being answered
        self._area = 0.0  # request-seconds: the sum of `inside` over time
        self._changed = time.monotonic()
        self._recent: deque[tuple[int, float]] = deque(maxlen=RECENT)

    def moved(self, by: int) -> None:
        """A request took a place (1), or left it (-1)."""
        with self.lock:
            now = time.monotonic()
            self._area += self.inside * (now - self._changed)
            self._changed = now
            self.inside += by

    def answered(self, status: int) -> None:
        with self.lock:
            self.answers[status] += 1

    def wrote(self, tokens_in: int, tokens_out: int, seconds: float) -> None:
        """An answer is at its end, whole or not."""
        with self.lock:
            self.tokens_in += tokens_in
            self.tokens_out += tokens_out
            self.writing += seconds
            self._recent.append((tokens_out, seconds))

    @property
    def seconds_each(self) -> float:
        """Of an answer, lately; 1 before there is any."""
        with self.lock:
            times = [seconds for _, seconds in self._recent]
        return sum(times) / len(times) if times else 1.0

    def text(self) -> str:
        """A number a line, each behind what it is."""
        self.moved(0)
        with self.lock:
            tokens, seconds = (sum(each) for each in zip((0, 0.0), *self._recent, strict=True))
            answers = {f'{{status="{k}"}}': n for k, n in sorted(self.answers.items())}
            rows = [
                ("requests_total", "counter", "Answered, by status; 499: it went away.", answers),
                ("prompt_tokens_total", "counter", "Tokens read.", self.tokens_in),
                ("completion_tokens_total", "counter", "Tokens written.", self.tokens_out),
                ("model_seconds_total", "counter", "While the model worked.", self.writing),
                (
                    "tokens_per_second",
                    "gauge",
                    f"Written, over the last {RECENT} answers.",
                    tokens / seconds if seconds else 0.0,
                ),
                ("requests_inside", "gauge", "In the queue, or being answered.", self.inside),
                ("inside_seconds_total", "counter", "requests_inside, over time.", self._area),
            ]
        lines = []
        for name, kind, what, value in rows:
            lines += [f"# HELP tinygpt_{name} {what}", f"# TYPE tinygpt_{name} {kind}"]
            for label, number in (value if isinstance(value, dict) else {"": value}).items():
                lines.append(f"tinygpt_{name}{label} {round(number, 3)}")
        return "\n".join(lines) + "\n"


def parse(text: str) -> dict[str, float]:
    """The numbers of such a text, by their names without `tinygpt_`."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pairs = (line.removeprefix("tinygpt_").rsplit(" ", 1) for line in lines)
    return {name: float(value) for name, value in pairs}
