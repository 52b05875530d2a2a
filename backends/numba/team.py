"""Threads that share out tasks."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["share"]

Task = TypeVar("Task")
Memory = TypeVar("Memory")


def share(
    tasks: Sequence[Task],
    threads: int,
    memory: Callable[[], Memory],
    work: Callable[[Memory, Task], None],
    progress: Callable[[float], None] = lambda fraction: None,
) -> None:
    """Run tasks on threads that take the next one when they are free.

    An exception, an interrupt included, stops all threads after the task that each is at. The
    caller's own thread only waits: an interrupt while it compiled would be swallowed by LLVM.

    Parameters
    ----------
    tasks : sequence
    threads : int
    memory : callable
        Gives each thread what it works with.
    work : callable
        Does a task, given that and the task.
    progress : callable, optional
        Called from the caller's thread, with the fraction of the tasks done since the last call.
    """
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    done: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    stop = threading.Event()
    for task in tasks:
        waiting.put(task)

    def loop() -> None:
        try:
            own = memory()
            while not stop.is_set():
                work(own, waiting.get_nowait())
                done.put(None)
        except queue.Empty:
            pass
        except BaseException as error:  # handed to the caller's thread
            done.put(error)

    team = [threading.Thread(target=loop, daemon=True) for _ in range(min(threads, len(tasks)))]
    try:
        for thread in team:
            thread.start()
        for _ in tasks:
            error = done.get()
            if error is not None:
                raise error
            progress(1 / len(tasks))
    finally:
        stop.set()
        for thread in team:
            thread.join()
