"""Tables whose targets are words."""

import io

import numpy as np
import pytest

from lad_mpi.data.columns import TableKeys
from lad_mpi.data.table import read_table
from lad_mpi.errors import DataError


def read(text, **keys):
    features, targets, _ = read_table(iter(io.StringIO(text)), "d.csv", TableKeys(**keys))
    return features, targets


# The keys, the features and the labels of each table.
LABELLED = {
    "a,b,species\n1,2,cat\n3,4,dog\n": ({}, [[1, 2], [3, 4]], ["cat", "dog"]),
    "species,b,c\ncat,2,1\ndog,4,3\n": ({"target": "species"}, [[2, 1], [4, 3]], ["cat", "dog"]),
    "cat,2,1.5\ndog,4,3\ncat,4,3\n": (
        {"target": 1},
        [[2, 1.5], [4, 3], [4, 3]],
        ["cat", "dog", "cat"],
    ),
    "5.1,3.5,cat\n4.9,3.0,dog\n4.7,3.2,dog\n": (
        {},
        [[5.1, 3.5], [4.9, 3], [4.7, 3.2]],
        ["cat", "dog", "dog"],
    ),
    "2,1,cat\n4,3,dog\n4,3,cat\n": ({}, [[2, 1], [4, 3], [4, 3]], ["cat", "dog", "cat"]),
    "0,1,species\n2,1,cat\n4,3,dog\n": ({"header": True}, [[2, 1], [4, 3]], ["cat", "dog"]),
    '"","a","y"\n"1",0.5,"St. Louis"\n"2",2,"Rome, Italy"\n': (
        {},
        [[0.5], [2]],
        ["St. Louis", "Rome, Italy"],
    ),
    "a;y\n0,5;1,5 m\n2;<=50K\n": ({}, [[0.5], [2]], ["1,5 m", "<=50K"]),
    "bob 1 0 cat\njim 3 0 dog\n": ({"index": True}, [[1, 0], [3, 0]], ["cat", "dog"]),
}


@pytest.mark.parametrize("text", LABELLED)
def test_targets_may_be_words(text):
    keys, features, labels = LABELLED[text]
    found, targets = read(text, **keys)
    np.testing.assert_array_equal(found, features)
    assert targets.tolist() == labels


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("a,y\n1,cat\n2,7\n", "line 3, column 2 ('y'): the target is '7'", "in line 2 is a word"),
        ("a,y\n1,7\n2,cat\n", "the target is 'cat', and the one in line 2 is a number", ""),
        ("a,y\n1,cat\n2,\n", "line 3, column 2 ('y'): expected a finite number, found ''", ""),
        ("a,y\n1,cat\n2,NA\n", "expected a finite number, found 'NA'", ""),
        ("a,y\n1,True\n2,False\n", "expected a finite number, found 'True'", "1 and 0"),
        ("a,b,y\n1,x,cat\n", "line 2, column 2 ('b'): expected a finite number", ""),
        ("cat,2,1\ndog,4,3\n", "line 1, column 1: expected a finite number", "target = 1"),
        ("0,1,species\n2,1,cat\n4,3,dog\n", "can be read in two ways", "header = true"),
        ("1,2,cat\n4,3,dog\n", "can be read in two ways", "header = false"),
    ],
)
def test_words_that_are_no_targets(text, words, hint):
    with pytest.raises(DataError) as caught:
        read(text)
    assert words in caught.value.message
    assert hint in caught.value.message + caught.value.hint
