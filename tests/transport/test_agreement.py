"""All ranks go on, or all raise the same error."""

import json

import pytest

from lad_mpi.errors import AgreedError, DataError, ExitCode, UsageError
from lad_mpi.transport import Loopback, from_server, together


class World:
    """A rank of several, which hears what the others say."""

    def __init__(self, rank, *others):
        self.others = list(others)
        self.rank, self.size = rank, len(others) + 1

    def gather_texts(self, text):
        return [*self.others[: self.rank], text, *self.others[self.rank :]]


def fail(error):
    def act():
        raise error

    return act


def test_what_was_made_is_returned():
    assert together(Loopback(), lambda: 3) == 3
    assert together(World(1, "", ""), lambda: None) is None


def test_the_lowest_rank_that_failed_speaks_with_its_exit_code():
    for rank, others in ((1, ("", "")), (0, ("2 bad", ""))):
        act = fail(UsageError("bad")) if rank else dict
        with pytest.raises(AgreedError, match=r"^rank 1: bad$") as caught:
            together(World(rank, *others), act)
        assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("others", [("2 bad", "2 bad"), ("", "2 worse")])
def test_no_number_is_given_for_the_server_or_for_all_ranks(others):
    with pytest.raises(AgreedError, match=r"^bad$"):
        together(World(0, *others), fail(DataError("bad")))


def test_a_hint_reaches_all_ranks():
    with pytest.raises(AgreedError, match="do this"):
        together(Loopback(), fail(UsageError("bad", hint="do this")))


def test_memory_that_does_not_suffice_is_told():
    with pytest.raises(AgreedError, match="not enough memory"):
        together(Loopback(), fail(MemoryError()))


def test_a_mistake_in_the_code_is_not_agreed_on():
    with pytest.raises(json.JSONDecodeError):
        together(Loopback(), lambda: json.loads("{"))


class Talk:
    """The server or another rank, between which a text is handed over."""

    said = ""

    def __init__(self, rank):
        self.is_server = rank == 0

    def share(self, text):
        if self.is_server:
            Talk.said = text
        return Talk.said


@pytest.mark.parametrize("text", ["", "2", "spec\nin lines", "!2"])
def test_a_text_of_the_server_reaches_all(text):
    assert [from_server(Talk(rank), lambda: text) for rank in (0, 1)] == [text, text]


def test_an_error_of_the_server_ends_all_with_its_exit_code():
    with pytest.raises(DataError) as told:
        from_server(Talk(0), fail(DataError("bad")))
    with pytest.raises(AgreedError) as heard:
        from_server(Talk(1), dict)
    assert told.value.relayed
    assert heard.value.relayed
    assert told.value.exit_code == heard.value.exit_code == ExitCode.USAGE
