"""Questions that are asked at about the same time, put together.

Who asks while a round is under way is in the next: a lone question waits for nothing, and thousands at once become
dozens. Source: docs/decisions/0162-who-comes-together-is-asked-about-together.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")

# So that who waits for the next round doesn't wait for hundreds of this one to go on first.
ASKED_AT_ONCE = 128


class Rounds(Generic[Q, A]):
    """`ask` answers many questions in their order, each with an answer or an exception that is this one's alone. What
    it raises is raised to all who asked in that round, and to nobody after them. It has to end by itself."""

    def __init__(self, ask: Callable[[list[Q]], Awaitable[Sequence[A | Exception]]]) -> None:
        self._ask = ask
        self._line: list[tuple[Q, asyncio.Future[A]]] = []
        self._under_way: asyncio.Task[None] | None = None

    async def of(self, question: Q) -> A:
        """The answer, from a round that began after this was called."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._line.append((question, answer))
        if self._under_way is None:
            # Owned by this object, as long as anyone waits: who asked first may go before the others are answered.
            self._under_way = asyncio.create_task(self._run(), name="rounds")
        return await answer

    async def _run(self) -> None:
        try:
            while self._line:
                asked, self._line = self._line[:ASKED_AT_ONCE], self._line[ASKED_AT_ONCE:]
                await self._round([(question, answer) for question, answer in asked if not answer.done()])
        finally:
            self._under_way = None
            for _, answer in self._line:  # the process is ending
                answer.cancel()
            self._line = []

    async def _round(self, asked: list[tuple[Q, asyncio.Future[A]]]) -> None:
        if not asked:
            return
        answers: Sequence[A | Exception]
        try:
            answers = await self._ask([question for question, _ in asked])
        except Exception as error:  # whatever it is, it is theirs, and no reason to let the next wait for good
            answers = [error] * len(asked)
        except BaseException:
            for _, future in asked:
                future.cancel()
            raise
        for (_, future), answer in zip(asked, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
