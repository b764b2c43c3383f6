import numpy as np
import pytest

from lad_mpi.data.libsvm import is_line
from lad_mpi.data.readers import read_samples
from lad_mpi.errors import DataError

pytest.importorskip("sklearn")


@pytest.mark.parametrize(
    ("text", "features", "targets", "index"),
    [
        ("1 1:2 3:4\n-1.5 2:1e-1\n", [[2, 0, 4], [0, 0.1, 0]], [1, -1.5], "from 1"),
        ("1 0:2 2:4\n0 1:3\n", [[2, 0, 4], [0, 3, 0]], [1, 0], "from 0"),
        ("# made by hand\n\n1 qid:7 1:2 # the first\n", [[2]], [1], "from 1"),
        ("0\n+1 1:2\n", [[0], [2]], [0, 1], "from 1"),
    ],
)
def test_libsvm_text(tmp_path, text, features, targets, index):
    path = tmp_path / "d.libsvm"
    for ends in ("\n", "\r\n", "\r"):
        path.write_bytes(("\ufeff" + text.replace("\n", ends)).encode())
        found = read_samples(str(path))
        np.testing.assert_array_equal(found.features, features)
        np.testing.assert_array_equal(found.targets, targets)
        assert f"indices {index}" in found.reading


def test_what_scikit_learn_writes(tmp_path):
    from sklearn.datasets import dump_svmlight_file

    X = np.random.default_rng(0).normal(size=(5, 3))
    X[1, 2] = 0
    for zero_based in (False, True):
        dump_svmlight_file(
            X, X[:, 0], str(tmp_path / "d.txt"), zero_based=zero_based, comment="by hand"
        )
        found = read_samples(str(tmp_path / "d.txt"))
        # It writes 16 digits.
        np.testing.assert_allclose(found.features, X, rtol=1e-15)
        np.testing.assert_allclose(found.targets, X[:, 0], rtol=1e-15)
        assert f"indices from {int(not zero_based)}" in found.reading


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 1:1_000\n", "line 1: expected a target and pairs index:value, found '1:1_000'"),
        ("1 1:2\n1_0 1:2\n", "line 2: expected a target and pairs index:value, found '1_0'"),
        ("1 1:2\n1 1_0:2\n", "line 2: .* found '1_0:2'"),
        ("1 1:nan\n", "line 1: .* found '1:nan'"),
        ("1 -1:2\n", "line 1: .* found '-1:2'"),
        ("1 1: 2\n", "line 1: .* found '1:'"),
        ("1,2 1:2\n", "line 1: .* found '1,2'"),
        ("1 2 3\n", "line 1: .* found '2'"),
        ("1,2,3\n4,5,6\n", "line 1: .* found '1,2,3'"),
        ("a,b\n4,5\n", "line 1: .* found 'a,b'"),
        ("1 1:1e999\n", "feature 0 of sample 0 .* is inf"),
        ("1 2:2 1:3\n", "near line 1: .*sorted"),
        ("", "found \\(0,"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, words):
    path = tmp_path / "d.svm"
    path.write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read_samples(str(path))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1 1:2\n", True),
        ("1 qid:1 1:2\n", True),
        ("1\n", False),
        ("1,2,3\n", False),
        ("2024-01-01 12:30,1,2\n", False),
        ("12:30 1 2\n", False),
        ("1 # a note: 2:3\n", False),
    ],
)
def test_a_line_that_can_only_be_libsvm_text(line, expected):
    assert is_line(line) is expected
