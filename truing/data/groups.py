"""Which of n things belong together, from pairs that do (union by halving paths; Tarjan and van Leeuwen 1984)."""

from collections.abc import Hashable, Iterable


class Groups:
    """At first each of `n` things is a group of its own."""

    def __init__(self, n: int) -> None:
        self._above = list(range(n))

    def of(self, thing: int) -> int:
        """The smallest thing of the group."""
        while self._above[thing] != thing:
            self._above[thing] = self._above[self._above[thing]]
            thing = self._above[thing]
        return thing

    def join(self, one: int, other: int) -> None:
        """Make two things' groups one."""
        first, second = sorted((self.of(one), self.of(other)))
        self._above[second] = first

    def join_equal(self, marks: Iterable[Hashable | None]) -> None:
        """Join all things with the same mark, one mark a thing; None joins nothing."""
        first: dict[Hashable, int] = {}
        for thing, mark in enumerate(marks):
            if mark is not None:
                self.join(first.setdefault(mark, thing), thing)

    def members(self) -> list[list[int]]:
        """Every group, in the order of its first thing."""
        result: dict[int, list[int]] = {}
        for thing in range(len(self._above)):
            result.setdefault(self.of(thing), []).append(thing)
        return list(result.values())
