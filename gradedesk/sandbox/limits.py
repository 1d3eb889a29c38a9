"""What one submission may use."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    cell_seconds: one cell or one call, if no other time is given
    total_seconds: the sandbox's whole life
    memory_bytes: one process, and all of them together; where control groups count, all that
        they hold, mapped or not, for which there is the room of the folders besides
    processes: threads count, too
    open_files: of one process
    file_bytes: one file, and each of the folders in memory (work, /tmp, /dev/shm)
    files: in those folders together, empty ones too
    output_bytes: kept of what one cell or one call prints
    reply_bytes, reply_items, reply_depth: one result with the arguments it changed
    answer_bytes: of all answer cells together, which the desk counts before it runs them

    Seconds go by the clock on the wall. Where nothing is isolated, on a student's own machine,
    other work may take most of them: there they are seconds of processor time, and PATIENCE times
    as many on the wall.
    """

    cell_seconds: float = 20.0
    total_seconds: float = 300.0
    memory_bytes: int = 2 << 30
    processes: int = 32
    open_files: int = 64
    file_bytes: int = 64 << 20
    files: int = 10_000
    output_bytes: int = 100_000
    reply_bytes: int = 64 << 20
    reply_items: int = 1_000_000
    reply_depth: int = 64
    answer_bytes: int = 1 << 20
