"""Tables of common writers are read as they were meant, or the run stops and asks."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.data.columns import TableKeys
from lad_mpi.data.table import read_table
from lad_mpi.errors import DataError

A = np.random.default_rng(0).normal(size=(12, 4))
NO_KEYS = TableKeys()


def read(text, keys=NO_KEYS):
    features, targets, notes = read_table(iter(io.StringIO(text, newline=None)), "d.csv", keys)
    return features, targets, ", ".join(notes)


def refusal(text, keys=NO_KEYS):
    with pytest.raises(DataError) as caught:
        read(text, keys)
    assert "'d.csv'" in caught.value.message
    assert caught.value.hint
    return caught.value


def savetxt(array=A, **options):
    stream = io.StringIO()
    np.savetxt(stream, array, **options)
    return stream.getvalue()


def frame(columns="abcy", index=None):
    pandas = pytest.importorskip("pandas")
    names = None if columns is None else list(columns)
    return pandas.DataFrame(A, columns=names, index=index)


# What reads back as A, with its last column as the target, and the reading in words.
WRITERS = {
    "to_csv": (lambda: frame().to_csv(), "header in line 1, target in column 5 ('y'), index in"),
    "to_csv, no index": (lambda: frame().to_csv(index=False), "column 4 ('y'), no index"),
    "to_csv, no names": (
        lambda: frame(None).to_csv(),
        "header in line 1, target in column 5 ('3')",
    ),
    "to_csv, shuffled": (
        lambda: frame(index=np.arange(12)[::-1] * 5).to_csv(),
        "index in column 1",
    ),
    "to_csv, texts": (lambda: frame(index=list("uvwxyzUVWXYZ")).to_csv(), "index in column 1"),
    "to_csv, one named": (
        lambda: frame(None).rename(columns={3: "y"}).to_csv(index=False),
        "header in line 1, target in column 4 ('y'), no index",
    ),
    "to_csv, decimal": (lambda: frame().to_csv(sep=";", decimal=","), "decimal commas"),
    "to_csv, tabs": (lambda: frame().to_csv(sep="\t", decimal=","), "separated by tabs, decimal"),
    "to_csv, quoted": (lambda: frame().to_csv(quoting=1), "header in line 1"),
    "to_csv, indented": (
        lambda: frame().to_csv(index=False).replace(",", ", "),
        "header in line 1",
    ),
    "to_string": (lambda: frame().to_string(float_format="{:.17g}".format), "index in column 1"),
    "savetxt": (savetxt, "no header, target in column 4, no index, separated by spaces"),
    "savetxt, commas": (lambda: savetxt(delimiter=","), "no header, target in column 4, no index"),
    "savetxt, names": (lambda: savetxt(header="a b c y"), "header in line 1, target in column 4"),
    "savetxt, names and commas": (
        lambda: savetxt(header="by hand\na,b,c,y", delimiter=","),
        "header in line 2, target in column 4 ('y'), no index",
    ),
    "savetxt, plain names": (lambda: savetxt(header="a b c y", comments=""), "header in line 1"),
    "savetxt, comment": (lambda: savetxt(header="made by hand"), "no header"),
    "Excel": (
        lambda: "sep=;\n" + frame().to_csv(index=False, sep=";", decimal=",") + "\n \n",
        "header in line 2, target in column 4 ('y'), no index, separated by semicolons, decimal",
    ),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_what_common_programs_write_is_read_as_it_was_meant(writer):
    write, words = WRITERS[writer]
    features, targets, reading = read(write())
    np.testing.assert_array_equal(features, A[:, :-1])
    np.testing.assert_array_equal(targets, A[:, -1])
    assert features.dtype == targets.dtype == np.float64
    assert words in reading


# R's own output, of data.frame(a = c(.5, 2, 0), b = c(1, -3, 1e5), y = c(2, 4, 6)).
R = {
    "write.csv": '"","a","b","y"\n"1",0.5,1,2\n"2",2,-3,4\n"3",0,1e+05,6\n',
    "write.csv, row.names": '"","a","b","y"\n"u, v",0.5,1,2\n"w",2,-3,4\n"""x""",0,1e+05,6\n',
    "write.csv, no row.names": '"a","b","y"\n0.5,1,2\n2,-3,4\n0,1e+05,6\n',
    "write.csv2": '"";"a";"b";"y"\n"1";0,5;1;2\n"2";2;-3;4\n"3";0;1e+05;6\n',
    "write.table": '"a" "b" "y"\n"1" 0.5 1 2\n"2" 2 -3 4\n"3" 0 1e+05 6\n',
    "write.table, row.names": '"a" "b" "y"\n"u v" 0.5 1 2\n"w" 2 -3 4\n"x" 0 1e+05 6\n',
    "write.table, tabs": '"a"\t"b"\t"y"\n"1"\t0.5\t1\t2\n"2"\t2\t-3\t4\n"3"\t0\t1e+05\t6\n',
    "write.table, no row.names": '"a" "b" "y"\n0.5 1 2\n2 -3 4\n0 1e+05 6\n',
}


@pytest.mark.parametrize("writer", R)
def test_what_r_writes(writer):
    features, targets, reading = read(R[writer])
    np.testing.assert_array_equal(features, [[0.5, 1], [2, -3], [0, 1e5]])
    np.testing.assert_array_equal(targets, [2, 4, 6])
    assert "header in line 1" in reading
    assert ("no index" in reading) == ("no row.names" in writer)


# Two readings each: the key that is asked for, and what its values give.
OPEN = {
    "0,1,2,3\n.5,1.5,.1,1\n4,2.5,6,2\n": (
        "header",
        {True: [[0.5, 1.5, 0.1], [4, 2.5, 6]], False: [[0, 1, 2], [0.5, 1.5, 0.1], [4, 2.5, 6]]},
    ),
    "1,2\n3,4\n": ("header", {True: [[3]], False: [[1], [3]]}),
    "2001,2002,2003\n7,8,9\n": ("header", {True: [[7, 8]], False: [[2001, 2002], [7, 8]]}),
    "400.5,401.0,401.5\n7,8,9\n": ("header", {True: [[7, 8]], False: [[400.5, 401], [7, 8]]}),
    "1.5,2,3.7,5,8,9\n1,0,1,0,1,0\n": (
        "header",
        {True: [[1, 0, 1, 0, 1]], False: [[1.5, 2, 3.7, 5, 8], [1, 0, 1, 0, 1]]},
    ),
    "5,17,3\n1.5,8,9\n": ("header", {True: [[1.5, 8]], False: [[5, 17], [1.5, 8]]}),
    "5;17;3\n1,5;8;9\n": ("header", {True: [[1.5, 8]], False: [[5, 17], [1.5, 8]]}),
    '"5","17","3"\n1,8,9\n': ("header", {True: [[1, 8]], False: [[5, 17], [1, 8]]}),
    "a,2\n3,4\n": ("header", {True: [[3]]}),
    ",2.5,3.5\n1,2,3\n5,6,7\n": ("header", {True: [[2], [6]]}),
    "5 8\n1 2 3\n3 4 5\n": ("header", {True: [[2], [4]]}),
    "# y b c\n5 2 7.5\n6 4 9\n": ("header", {True: [[2, 7.5], [4, 9]], False: [[5, 2], [6, 4]]}),
    "# a b y\n1 2 3\n4 4 9\n": ("header", {True: [[1, 2], [4, 4]], False: [[1, 2], [4, 4]]}),
    "# id b c\n5 2 7.5\n6 4 9\n": ("header", {False: [[5, 2], [6, 4]]}),
    "id,a,y\n7,3,1\n9,5,2\n": ("index", {True: [[3], [5]], False: [[7, 3], [9, 5]]}),
    "a,ID,y\n7,3,1\n9,5,2\n": ("index", {"ID": [[7], [9]], 2: [[7], [9]], False: [[7, 3], [9, 5]]}),
    ",a,y\n7.5,3,1\n9,5,2\n": ("index", {True: [[3], [5]], False: [[7.5, 3], [9, 5]]}),
    ",a,y\n7,3,1\n7,5,2\n": ("index", {True: [[3], [5]], False: [[7, 3], [7, 5]]}),
    ",,a,y\n7,3,1,2\n9,5,2,2\n": ("index", {False: [[7, 3, 1], [9, 5, 2]]}),
    "t,a,y\n0,7,3\n1,9,5\n2,5,5\n": ("index", {True: [[7], [9], [5]]}),
    "1,7,3\n2,9,5\n3,5,5\n": ("index", {True: [[7], [9], [5]], False: [[1, 7], [2, 9], [3, 5]]}),
    "2,7,3\n0,9,5\n1,5,5\n": ("index", {True: [[7], [9], [5]], False: [[2, 7], [0, 9], [1, 5]]}),
    "target,a,b\n7,3,1\n": ("target", {"target": [[3, 1]], 1: [[3, 1]], "b": [[7, 3]]}),
    "a,Class,b\n7,3,1\n": ("target", {"Class": [[7, 1]], 3: [[7, 3]]}),
}


@pytest.mark.parametrize("text", OPEN)
def test_a_file_with_two_readings_stops_the_run_and_names_the_key(text):
    key, readings = OPEN[text]
    error = refusal(text)
    assert "can be read in two ways" in error.message
    assert f"{key} = " in error.hint
    assert "[data]" in error.hint
    for value, features in readings.items():
        np.testing.assert_array_equal(read(text, TableKeys(**{key: value}))[0], features)


def test_distinct_integers_beside_fractions_may_be_an_index():
    numbers = np.array([3, 14, 15, 92, 65, 35, 89, 79, 32, 38, 46, 26])
    text = savetxt(np.column_stack([numbers, A]), delimiter=",", fmt="%.17g")
    assert "index = true or index = false" in refusal(text).hint
    np.testing.assert_array_equal(read(text, TableKeys(index=True))[0], A[:, :-1])
    np.testing.assert_array_equal(read(text, TableKeys(index=False))[0][:, 0], numbers)


@pytest.mark.parametrize(
    ("text", "keys", "features", "targets"),
    [
        ("7,3,1\n8,5,2\n3,9,9\n", {}, [[7, 3], [8, 5], [3, 9]], [1, 2, 9]),
        ("a,b,c\n1,2,3\n4,5,9\n", {}, [[1, 2], [4, 5]], [3, 9]),
        ("a, y ,c\n1,2,3\n", {}, [[1, 3]], [2]),
        ("y,target,c\n1,2,3\n", {}, [[2, 3]], [1]),
        ("a,b,target\n1,2,3\n", {}, [[1, 2]], [3]),
        ("a,b,c\n1,2,3\n", {"target": "b"}, [[1, 3]], [2]),
        ("a,b,c\n1,2,3\n", {"target": 2}, [[1, 3]], [2]),
        ("a,b,c\n1,2,3\n", {"target": 2, "index": 1}, [[3]], [2]),
        ("a,b,c\n1,2,3\n", {"index": "c"}, [[1]], [2]),
        ("who,b,c\nbob,2,3\n", {"index": "who"}, [[2]], [3]),
        ("id,b,c\n1,2,3\n", {"target": 1}, [[2, 3]], [1]),
        ("bob 2 5\njim 4 5\n", {"index": True}, [[2], [4]], [5, 5]),
        ("#,b,c\n1,2,3\n", {"header": True}, [[2]], [3]),
        ("# y b\n1 7\n2 7\n", {"target": "b"}, [[1], [2]], [7, 7]),
        ("a,a,b\n1,2,3\n", {}, [[1, 2]], [3]),
        ("t,y\n0,5\n1,7\n2,8\n", {}, [[0], [1], [2]], [5, 7, 8]),
        ("y,a\n\n1,2\n\n3,4", {}, [[2], [4]], [1, 3]),
        ("1stFloor,2ndFloor,inf\n1,2,3\n", {"header": True}, [[1, 2]], [3]),
        ("Na,Mg,Al\n1,2,3\n", {}, [[1, 2]], [3]),
        ('"a\nb",y\n1,2\n', {}, [[1]], [2]),
        ("+1.,-.5,1E3\n2,3,4\n", {}, [[1, -0.5], [2, 3]], [1000, 4]),
        ("a;b;y\n1,500;2;3\n1,5;2;3\n", {}, [[1.5, 2], [1.5, 2]], [3, 3]),
        ("a;b;y\n1,500;0,5;3\n", {}, [[1.5, 0.5]], [3]),
        ("a;b;y\n,5;-1,e3;3\n", {}, [[0.5, -1000]], [3]),
    ],
)
def test_tables(text, keys, features, targets):
    found, y, _ = read(text, TableKeys(**keys))
    np.testing.assert_array_equal(found, features)
    np.testing.assert_array_equal(y, targets)


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("", "has no lines", "commas, semicolons, tabs or spaces"),
        ("1\n2\n", "has one column", "commas, semicolons, tabs or spaces"),
        ("a,b\n", "no samples below line 1", "header = false"),
        (",y\n0,1.5\n", "2 columns, one of them the index", "commas"),
        ("1,5,3\n4,5\n", "line 2 has 2 columns, and line 1 has 3", "same number"),
        ("a,b,y\n1,2,3\n\n1,2\n", "line 4 has 2 columns, and line 2 has 3", "same number"),
        ("My data\na,b,y\n1,2,3\n", "line 2 has 3 columns, and line 1 has 1", "same number"),
        ("a,b,y\n1,2,3\n# the end\n", "line 3 has 1 columns", "same number"),
        (
            "a,b\n\n1,2\n3,x\n",
            "line 4, column 2 ('b'): the target is 'x', and the one in line 3 is a number",
            "as words in all lines",
        ),
        ("1,5\n3,\n", "line 2: column 2, the last, is empty", "ends of lines"),
        ("a,b,y,\n1,2,3,\n", "line 2: column 4, the last, is empty", "ends of lines"),
        ("a,b,y\n1,2,3,\n", "line 2: column 4, the last, is empty", "ends of lines"),
        ("1,5,2\n3,,1\n", "line 2, column 2: expected a finite number, found ''", "fill in"),
        ("1,5\n0,4\nnan,4\n", "line 3, column 1: expected a finite number, found 'nan'", "fill in"),
        ("1,5\n3,-inf\n", "line 2, column 2: expected a finite number, found '-inf'", "1000"),
        (
            "1,5\n0,1\n3,1e999\n",
            "line 3, column 2: expected a finite number, found '1e999'",
            "1000",
        ),
        ("NA,2.5\n3,4\n", "line 1, column 1: expected a finite number, found 'NA'", "fill in"),
        ("NA,NA\n3,4\n", "line 1, column 1: expected a finite number, found 'NA'", "fill in"),
        (
            "a,y\n1_000,2\n",
            "line 2, column 1 ('a'): expected a finite number, found '1_000'",
            "1000",
        ),
        (
            "day,y\n2020-01-31,2\n",
            "line 2, column 1 ('day'): expected a finite number, found '2020-01-31'",
            "index = true",
        ),
        ("1_000,2\n3,4\n", "line 1, column 1: expected a finite number, found '1_000'", "1000"),
        ("a,y\n1,٣\n", "line 2, column 2 ('y'): expected a finite number, found '٣'", "1000"),
        ("٣,٤\n1,2\n", "line 1, column 1: expected a finite number, found '٣'", "1000"),
        ("0x1F,2\n3,4\n", "line 1, column 1: expected a finite number, found '0x1F'", "1000"),
        ("1.0D+00,2\n3,4\n", "line 1, column 1: expected a finite number, found '1.0D+00'", "1000"),
        (
            "a,y\nTrue,2\n",
            "line 2, column 1 ('a'): expected a finite number, found 'True'",
            "1 and 0",
        ),
        ("True,False\n3,4\n", "line 1, column 1: expected", "1 and 0"),
        (
            'a,y\n"1,000",2\n',
            "line 2, column 1 ('a'): expected a finite number, found '1,000'",
            "point",
        ),
        ("a;y\n1.000,5;2\n", "a point in a number in line 2 and a comma in one in line 2", "point"),
        (
            "a;y\n1.5;2\n1,5;2\n",
            "a point in a number in line 2 and a comma in one in line 3",
            "point",
        ),
        (
            "a;y\n1,5;2\n1.5;2\n",
            "a point in a number in line 3 and a comma in one in line 2",
            "point",
        ),
        ("a;y\n1,500;2\n", "two ways: '1,500' in line 2 is 1.500, or 1500", "decimal point"),
        ("a;y\n1,500,000;2\n", "found '1,500,000'", "decimal point"),
        (
            "who,a,y\nbob,1,2\n",
            "line 2, column 1 ('who'): expected a finite number",
            "index = true",
        ),
        ("bob 1 5\njim 3 4\n", "line 1, column 1: expected a finite number", "index = true"),
        (
            "a,b,y\nm,s,kg\n1,2,3\n",
            "line 2, column 1 ('a'): expected a finite number",
            "index = true",
        ),
        ("y,y\n3,4\n", "columns 1 and 2 have the same name, 'y'", "target in [data]"),
        ('a,y\n"1,2\n3,4\n', "line 3: unexpected end of data", "quote"),
        ('a,y\n"1"2,2\n', "line 2: ',' expected after '\"'", "quote"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_column(text, words, hint):
    error = refusal(text)
    assert words in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("text", "keys", "words"),
    [
        ("alpha,b\n1,2\n", {"target": "alhpa"}, "no column 'alhpa'; did you mean 'alpha'?"),
        ("a,b\n1,2\n", {"target": "z"}, "no column 'z'; columns: 'a', 'b'"),
        ("a,b\n1,2\n", {"target": 3}, "no column 3; it has 2"),
        ("a,b\n1,2\n", {"index": 3}, "no column 3; it has 2"),
        ("a,b,y\n1,2,3\n", {"index": "y"}, "column 3 is both the target and the index"),
        ("1,5\n2,3\n", {"target": "y"}, "no column 'y', because no line names the columns"),
        ("a,a,y\n1,2,3\n", {"target": "a"}, "columns 1 and 2 have the same name, 'a'"),
        ("a,b\n1,2\n", {"header": False}, "line 1, column 1: expected a finite number, found 'a'"),
        (",Unnamed: 0,a,y\n0,0,7,8\n", {"index": True}, "column 2 has no name and may be a second"),
    ],
)
def test_keys_that_do_not_fit_the_file(text, keys, words):
    assert words in refusal(text, TableKeys(**keys)).message


@st.composite
def written_tables(draw):
    """Draw a table as pandas would write it, and the keys that describe it."""
    pandas = pytest.importorskip("pandas")
    rows, columns = draw(st.integers(3, 6)), draw(st.integers(3, 5))
    kinds = st.sampled_from(["integers", "counts", "fractions"])
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    draws = {
        "integers": lambda: rng.integers(-9, 10, rows).astype(object),
        "counts": lambda: np.arange(rows).astype(object),
        "fractions": lambda: rng.normal(size=rows).astype(object),
    }
    table = np.stack([draws[draw(kinds)]() for _ in range(columns)], axis=1)
    labels = draw(
        st.sampled_from(
            [range(rows), range(5, 5 + rows), rng.permutation(rows), list("uvwxyz")[:rows]]
        )
    )
    data = pandas.DataFrame(table, index=list(labels))
    names = draw(st.sampled_from(["letters", "numbers", "texts of digits"]))
    if names == "letters":
        data.columns = list("abcdefgh"[:columns])
    elif names == "texts of digits":
        data.columns = [str(10 * i + 7) for i in range(columns)]
    index, header = draw(st.booleans()), draw(st.booleans())
    text = data.to_csv(index=index, header=header, sep=draw(st.sampled_from(",;\t ")))
    return text, TableKeys(header=header, index=index), table.astype(float)


@settings(max_examples=400, deadline=None)
@given(written_tables())
def test_no_table_is_misread_in_silence(written):
    text, keys, table = written
    features, targets, _ = read(text, keys)
    np.testing.assert_array_equal(features, table[:, :-1])
    np.testing.assert_array_equal(targets, table[:, -1])
    try:
        features, targets, _ = read(text)
    except DataError:
        refused = refusal(text)
        assert "two ways" in refused.message or "index" in refused.hint
    else:
        np.testing.assert_array_equal(features, table[:, :-1])
        np.testing.assert_array_equal(targets, table[:, -1])


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='01.,;\t\n "#%-eyan_\r\x0b١'))
def test_any_text_is_read_or_refused(text):
    try:
        features, targets, _ = read(text)
    except DataError:
        return
    assert np.isfinite(features).all()
    assert len(features) == len(targets) > 0
    # Here a word holds a letter, or is the mark of a number's sign.
    assert all(map(str.strip, targets)) if targets.dtype == object else np.isfinite(targets).all()
