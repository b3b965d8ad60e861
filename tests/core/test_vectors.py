"""Vectors packed and searched without a server, compared with plain arithmetic."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import ccs
from ccs._core.memory.matrix import Fade, Matrix, Row
from ccs._core.memory.matrix_per_dimension import Matrices
from ccs._core.memory.vectors import pack, pack_all
from tests.memory.minds import check_found, ranking
from tests.support.waiting import counts

floats = st.floats(-1e6, 1e6, width=32)


@given(st.lists(floats, min_size=1, max_size=20))
def test_a_vector_is_packed_unchanged_or_refused(values: list[float]) -> None:
    if any(values):
        import numpy as np

        assert np.frombuffer(pack(values), "<f4").tolist() == values
    else:
        with pytest.raises(ccs.InvalidValue):
            pack(values)


def test_the_error_for_an_empty_embedding_says_what_to_give_instead() -> None:
    for call in (lambda: pack([]), lambda: pack(()), lambda: pack_all([[]], 1)):
        with pytest.raises(ccs.InvalidValue, match="an embedding is empty: give the row of numbers"):
            call()


def test_an_embedder_gives_one_vector_for_each_text() -> None:
    assert pack_all(iter([[1.0]]), 1) == pack_all([(1,)], 1) == [pack([1.0])]
    assert pack_all([[1.0, 2.0], [3.0, 4.0]], 2) == [pack([1.0, 2.0]), pack([3.0, 4.0])]
    for count, answer in (1, []), (1, [[1.0], [1.0]]), (1, 1.0), (1, None), (2, [[1.0]]), (2, [[1.0], [1.0, 2.0]]):
        with pytest.raises(ccs.InvalidValue, match="embed="):
            pack_all(answer, count)


def rows(packed: dict[str, bytes], stored: int = 0) -> dict[str, Row]:
    return {name: Row(vector, stored) for name, vector in packed.items()}


class Hit:
    """What a search found, as a match."""

    def __init__(self, found: tuple[float, str]) -> None:
        self.score, self.id = found


def check(matrix: Matrix, vectors: dict[str, list[float]], query: list[float], count: int) -> None:
    expected = ranking(query, vectors)[:count]
    check_found(map(Hit, matrix.nearest(pack(query), count)), expected)


class Machine(RuleBasedStateMachine):
    """A matrix, and a map of the same vectors, with coordinates for which scores are equal or differ clearly."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = Matrix()
        self.vectors: dict[str, list[float]] = {}
        self.stored: dict[str, int] = {}
        self.now = 1_000_000
        self.dimension = 3

    vectors_of_three = st.lists(st.sampled_from([-2.0, 0.0, 1.0, 3.0]), min_size=3, max_size=3).filter(any)
    names = st.sampled_from([f"{i}" for i in range(12)])

    @rule(packed=st.dictionaries(names, st.none() | vectors_of_three, max_size=6))
    def update(self, packed: dict[str, list[float] | None]) -> None:
        self.now += 10
        self.matrix.update(rows({name: pack(vector) if vector else b"" for name, vector in packed.items()}, self.now))
        self.stored.update(dict.fromkeys(packed, self.now))
        for name, vector in packed.items():
            if vector:
                self.vectors[name] = vector
            else:
                self.vectors.pop(name, None)

    @rule(query=vectors_of_three, count=st.integers(1, 15))
    def search(self, query: list[float], count: int) -> None:
        check(self.matrix, self.vectors, query, count)

    @rule(query=vectors_of_three, count=st.integers(1, 5), accepted=st.sets(names))
    def search_among_some(self, query: list[float], count: int, accepted: set[str]) -> None:
        expected = ranking(query, {name: each for name, each in self.vectors.items() if name in accepted})[:count]
        check_found(map(Hit, self.matrix.nearest(pack(query), count, accepted.__contains__)), expected)

    @rule(query=vectors_of_three, count=st.integers(1, 5), among=st.lists(names) | st.none(), accepted=st.sets(names))
    def search_that_fades(self, query: list[float], count: int, among: list[str] | None, accepted: set[str]) -> None:
        fade = Fade(self.now, 25, 0.3)
        cosines = ranking(query, {name: each for name, each in self.vectors.items() if name in accepted})
        wanted = [(name, cosine) for name, cosine in cosines if among is None or name in among]
        scores = {name: 0.7 * cosine + 0.3 * 0.5 ** ((self.now - self.stored[name]) / 25) for name, cosine in wanted}
        found = self.matrix.nearest(pack(query), count, accepted.__contains__, among=among, fade=fade)
        expected = sorted(scores.items(), key=lambda each: (-round(each[1], 9), each[0]))[:count]
        check_found(map(Hit, found), expected)

    @invariant()
    def it_holds_as_many(self) -> None:
        assert len(self.matrix) == len(self.vectors)


def test_a_search_finds_what_brute_force_finds() -> None:
    run_state_machine_as_test(Machine, settings=settings(max_examples=counts(30, 2000), deadline=None))


def vectors_from(seed: int, count: int, dimension: int) -> Iterator[list[float]]:
    dice = random.Random(seed)
    for _ in range(count):
        yield [dice.gauss(0, 1) for _ in range(dimension)]


@pytest.mark.parametrize("count", [1, 99, 100, 101, 1000, 3456])
def test_the_best_are_found_among_any_number(count: int) -> None:
    """Also where only the best of each block are examined first, and where many are equal."""
    vectors = {f"{i:05}": vector for i, vector in enumerate(vectors_from(count, count, 16))}
    vectors |= {f"e{i}": vectors["00000"] for i in range(30)}
    matrix = Matrix()
    matrix.update(rows({name: pack(vector) for name, vector in vectors.items()}))
    for query in (*vectors_from(1, 3, 16), vectors["00000"]):
        for most in (1, 5, 31, 200):
            check(matrix, vectors, query, most)
            odd = {name: each for name, each in vectors.items() if name[-1] in "13579"}
            among = matrix.nearest(pack(query), most, odd.__contains__)
            check_found(map(Hit, among), ranking(query, odd)[:most])


def test_vectors_of_another_dimension_replace_all_others() -> None:
    matrix = Matrix()
    matrix.update(rows({"a": pack([1.0, 2.0])}))
    with pytest.raises(ccs.InvalidValue):
        matrix.nearest(pack([1.0]), 1)
    matrix.update(rows({"a": b"", "b": pack([1.0])}))
    assert matrix.nearest(pack([2.0]), 5) == [(1.0, "b")]
    matrix.update(rows({"b": b""}))
    assert matrix.nearest(pack([1.0, 2.0, 3.0]), 5) == []


def test_a_query_is_compared_with_vectors_of_its_own_dimension() -> None:
    """Given two dimensions, as while a context changes from one to the other, then a query finds only its own."""
    matrices = Matrices()
    assert matrices.nearest(pack([1.0]), 5) == []
    matrices.update(rows({"a": pack([1.0, 0.0]), "b": pack([1.0, 0.0]), "c": b""}))
    matrices.update(rows({"b": pack([2.0]), "d": pack([3.0])}))
    assert matrices.nearest(pack([1.0, 0.0]), 5) == [(1.0, "a")]
    assert matrices.nearest(pack([1.0]), 5) == [(1.0, "b"), (1.0, "d")]
    with pytest.raises(ccs.InvalidValue, match="has 3 numbers, the embeddings here have 1 or 2"):
        matrices.nearest(pack([1.0, 2.0, 3.0]), 5)
    matrices.update(rows({"a": pack([5.0])}))
    with pytest.raises(ccs.InvalidValue, match=r"the embeddings here have 1$"):
        matrices.nearest(pack([1.0, 0.0]), 5)
    matrices.update(rows(dict.fromkeys("abcd", b"")))
    assert matrices.nearest(pack([1.0, 0.0]), 5) == []


def test_a_score_never_exceeds_one() -> None:
    for vector in vectors_from(5, 200, 7):
        matrix = Matrix()
        matrix.update(rows({"same": pack(vector), "opposite": pack([-each for each in vector])}))
        assert matrix.nearest(pack(vector), 2) == [(1.0, "same"), (-1.0, "opposite")]
