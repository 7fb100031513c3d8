"""What is kept comes back; what is damaged or hostile is refused; a crash leaves no half."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_ce.training.persistence import FORMAT, read, write

CONTENT = {
    "W": np.linspace(-1, 1, 12).reshape(3, 4).T,  # in Fortran's order
    "labels": np.array(["ja", "nein", "äöü𝛼"]),
    "objects": np.array(["a", 1, 2.5, None, True], object),
    "flags": np.array([True, False]),
    "float32": np.float32([0.1, np.nan, np.inf]),
    "empty": np.zeros((0, 3)),
    "scalar": np.array(-0.0),
    "options": {1: ("l2", [1e-300, -np.inf]), "x": {"deep": np.arange(3)}, 2.5: None},
}


def same(a: Any, b: Any) -> bool:
    """Equal to the bit, types and dtypes included."""
    if isinstance(a, np.ndarray):
        if a.dtype == object:
            return isinstance(b, np.ndarray) and b.dtype == object and same(list(a), list(b))
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(
            type(k) is type(j) and same(a[k], b[k]) for k, j in zip(a, b)
        )
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


def load(path: Path) -> Any:
    return read(path, "thing", lambda content: content)


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "thing.dat"  # the name as it is: no .npz is added
    write(path, "thing", CONTENT)
    back = load(path)
    assert same(CONTENT, back)
    back["W"][0] = 1  # its own, writeable
    assert same(CONTENT, load(path))
    assert [p.name for p in tmp_path.iterdir()] == ["thing.dat"]


HARD = ["header", "file", "allow_pickle", "a.npy", "a", "array", "../a", "a/b", "\0", "", "a\0b"]
NAMES = st.one_of(st.text(max_size=5), st.sampled_from(HARD))
ARRAYS = hnp.arrays(
    st.one_of(
        hnp.floating_dtypes(endianness="="),
        hnp.integer_dtypes(endianness="="),
        hnp.boolean_dtypes(),
    ),
    hnp.array_shapes(min_dims=0, min_side=0),
)
TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), ARRAYS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(
            st.one_of(st.integers(), NAMES, st.floats(allow_nan=False)), inner, max_size=3
        ),
    ),
)


@settings(max_examples=60)
@given(st.dictionaries(NAMES, TREES, max_size=4))
def test_any_tree_comes_back(tmp_path_factory: Any, content: dict[str, Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "tree.npz"
    write(path, "thing", content)
    assert same(content, load(path))


def test_names_that_a_zip_or_numpy_takes_otherwise(tmp_path: Path) -> None:
    content = {name: np.array([i]) for i, name in enumerate([*HARD, "a.npy.npy", "Header"])}
    write(tmp_path / "a.npz", "thing", content)
    assert same(content, load(tmp_path / "a.npz"))


def test_numpy_opens_it_without_pickle_and_the_header_reads_as_text(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", "thing", {"W": np.eye(2), "n": np.int64(3), "s": np.str_("x")})
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert set(file) == {"header", "W"}
        header = json.loads(str(file["header"]))
        assert header["content"] == {"dict": [["W", {"array": "W"}], ["n", 3], ["s", "x"]]}
        np.testing.assert_array_equal(file["W"], np.eye(2))


@pytest.mark.parametrize("x", [object(), np.array([1j]), np.array(["x"], "S"), {1, 2}, print])
def test_what_cannot_be_kept_is_named_and_leaves_the_old_file(tmp_path: Path, x: Any) -> None:
    path = tmp_path / "a.npz"
    write(path, "thing", {"n": 1})
    with pytest.raises(TypeError, match=r"^inner\.x: .* cannot be kept in a file"):
        write(path, "thing", {"inner": {"x": x}})
    assert load(path) == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


# ------------------------------------------------------------------ files that are refused
def refused(path: Path, data: bytes, match: str = "damaged, or not written by tinygrad_ce") -> None:
    """One line that names the file; no warning; memory of the order of the file's length."""
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=match) as error:  # warnings are errors already
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 30 * len(data) + 1e6
    finally:
        tracemalloc.stop()
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert error.value.__cause__ is error.value.__context__ is None


def npy(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), **options)
    return file.getvalue()


def header(**changes: Any) -> bytes:
    told = {"tinygrad_ce": FORMAT, "kind": "thing", "content": {"dict": [["W", {"array": "W"}]]}}
    return npy(json.dumps(told | changes))


def zipped(parts: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return file.getvalue()


def with_array(data: bytes) -> bytes:
    return zipped({"header.npy": header(), "W.npy": data})


def edited(array: Any, old: bytes, new: bytes) -> bytes:
    """An array's file with its header's text changed, the length kept."""
    data = npy(array)
    assert old in data
    return data.replace(old, new).replace(b" " * (len(new) - len(old)) + b"\n", b"\n", 1)


def test_the_parts_that_the_refused_files_are_made_of_are_right(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(with_array(npy(np.eye(3))))
    assert same(load(tmp_path / "a"), {"W": np.eye(3)})


class Trap:
    """Pickled, it is a call; of a function that this test would notice."""

    def __reduce__(self) -> Any:
        return (os.mkdir, ("trapped",))


TRAP = npy(np.array([Trap()], object), allow_pickle=True)
HOSTILE = {
    "an empty file": b"",
    "text": b"a,b\n1,2\n",
    "an .npy": npy(np.eye(3)),
    "a pickle": pickle.dumps(Trap()),
    "an empty zip": zipped({}),
    "no header": zipped({"W.npy": npy(np.eye(3))}),
    "a pickled array": with_array(TRAP),
    "a pickled header": zipped({"header.npy": TRAP}),
    "a bomb": zipped({"header.npy": header(), "W.npy": npy(np.zeros(10**7))}, zipfile.ZIP_DEFLATED),
    "more than there is": with_array(edited(np.eye(3), b"(3, 3)", b"(3, 300000000000)")),
    "less than there is": with_array(edited(np.eye(3), b"(3, 3)", b"(3, 2)")),
    "a negative side": with_array(edited(np.eye(3), b"(3, 3)", b"(-3, -3)")),
    "an expression": with_array(edited(np.eye(3), b"(3, 3)", b"(print(3), 3)")),
    "nested brackets": with_array(b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 0xFFFF),
    "many digits": with_array(edited(np.eye(3), b"(3, 3)", b"(" + b"9" * 5000 + b")")),
    "sides without end": with_array(edited(np.eye(3), b"(3, 3)", b"(" + b"1, " * 100 + b"9)")),
    "no such dtype": with_array(edited(np.eye(3), b"<f8", b"<f7")),
    "a dtype of no size": with_array(edited(np.array(["a"]), b"<U1", b"<U0")),
    "a dtype beyond memory": with_array(edited(np.array(["a"]), b"<U1", b"<U999999999")),
    "an alias of a dtype": with_array(edited(np.array([b"a"]), b"|S1", b"|a1")),
    "a record": with_array(npy(np.zeros(2, "i4,f8"))),
    "complex numbers": with_array(npy(np.zeros(2, complex))),
    "no characters": with_array(npy(np.array(["a"])).replace(b"a\0\0\0", b"\xff\xff\xff\x7f")),
    "no booleans": with_array(npy(np.array([True])).replace(b"\n\x01", b"\n\x02")),
    "an .npy of a later version": with_array(npy(np.eye(3), version=(2, 0))),
    "cut .npy": with_array(npy(np.eye(3))[:-1]),
    "cut .npy header": with_array(npy(np.eye(3))[:9]),
    "a part too many": zipped({"header.npy": header(), "W.npy": npy(1.0), "../x.npy": npy(1.0)}),
    "a part too few": zipped({"header.npy": header()}),
    "a name with and without .npy": zipped(
        {"header.npy": header(), "W.npy": npy(1.0), "W": npy(1.0)}
    ),
    "a header of numbers": zipped({"header.npy": npy(3.0)}),
    "a header of several": zipped({"header.npy": npy(["{}", "{}"])}),
    "no JSON": zipped({"header.npy": npy("{")}),
    "JSON without end": zipped({"header.npy": npy("[" * 10**5)}),
    "a number": zipped({"header.npy": npy("1")}),
    "a number too long": zipped({"header.npy": npy("1" * 5000)}),
    "an empty header": zipped({"header.npy": npy("{}")}),
    "version 0": zipped({"header.npy": header(tinygrad_ce=0), "W.npy": npy(1.0)}),
    "version true": zipped({"header.npy": header(tinygrad_ce=True), "W.npy": npy(1.0)}),
    "version 1.0": zipped({"header.npy": header(tinygrad_ce=1.0), "W.npy": npy(1.0)}),
    "content of one number": zipped({"header.npy": header(content=1)}),
    "an array for content": zipped(
        {"header.npy": header(content={"array": "W"}), "W.npy": npy(1.0)}
    ),
    "an array twice": zipped(
        {"header.npy": header(content=[{"array": "W"}, {"array": "W"}]), "W.npy": npy(1.0)}
    ),
    "an unknown tag": zipped({"header.npy": header(content={"eval": ["1"]})}),
    "two tags": zipped({"header.npy": header(content={"tuple": [], "dict": []})}),
    "pairs that are none": zipped({"header.npy": header(content={"dict": [[1, 2, 3]]})}),
    "a key that is a list": zipped({"header.npy": header(content={"dict": [[[], 2]]})}),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_foreign_and_hostile_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(tmp_path / "a.npz", HOSTILE[what])
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_a_part_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of what it writes here
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in (("header", header()), ("W", npy(1.0)), ("W", npy(2.0))):
                archive.writestr(f"{name}.npy", data)
    refused(tmp_path / "a.npz", file.getvalue(), "come twice")


def test_parts_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """The bomb without compression: a thousand entries of the table, one piece of the file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("header.npy", header())
        archive.writestr("W.npy", npy(np.zeros(1000)))
        for i in range(1000):
            info = zipfile.ZipInfo(f"W{i}.npy")
            for name in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(info, name, getattr(archive.getinfo("W.npy"), name))
            archive.filelist.append(info)
    refused(tmp_path / "a.npz", file.getvalue(), "overlap")


def test_a_bomb_that_lies_of_its_size_is_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.npy", npy(np.zeros(10**7)))
        info = archive.getinfo("header.npy")
        info.file_size = info.compress_size
    refused(tmp_path / "a.npz", file.getvalue(), "compressed")


def test_newer_and_other_files_say_so(tmp_path: Path) -> None:
    newer = zipped({"header.npy": header(tinygrad_ce=FORMAT + 1, more="?"), "W.npy": TRAP})
    refused(tmp_path / "a.npz", newer, r"newer tinygrad_ce: format 2, .* pip install --upgrade")
    other = zipped({"header.npy": header(kind="x" * 1000), "W.npy": npy(1.0)})
    refused(tmp_path / "a.npz", other, r"got a file of a x{80}, wanted a thing")


def test_what_the_maker_refuses_is_told_with_the_file(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", "thing", {"n": 1})
    with pytest.raises(ValueError, match=r"a\.npz: damaged, .*\(KeyError: 'm'\)$"):
        read(tmp_path / "a.npz", "thing", lambda content: content["m"])


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nowhere.npz")
    with pytest.raises(OSError):
        load(tmp_path)


def mutations(rng: np.random.Generator, data: bytes, other: bytes) -> bytes:
    """One of: bits flipped, cut, a piece of another file put in, bytes taken out or doubled."""
    changed, i, j = bytearray(data), *sorted(rng.integers(0, len(data), 2))
    match rng.integers(5):
        case 0:
            for at in rng.integers(0, len(data), rng.integers(1, 4)):
                changed[at] ^= 1 << int(rng.integers(8))
        case 1:
            del changed[j:]
        case 2:
            changed[i:j] = other[i:j]
        case 3:
            del changed[i : i + int(rng.integers(1, 64))]
        case 4:
            changed[i:i] = data[j : j + int(rng.integers(1, 64))]
    return bytes(changed)


def test_mutated_files_are_refused_or_equal(tmp_path: Path, rng: np.random.Generator) -> None:
    write(tmp_path / "a", "thing", CONTENT)
    write(tmp_path / "b", "thing", CONTENT | {"W": CONTENT["W"] * 2})
    a, b = (tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()
    wholes = [load(tmp_path / "a"), load(tmp_path / "b")]
    count = 0
    for _ in range(1000):
        data = mutations(rng, a, b)
        try:
            refused(tmp_path / "c", data)
            count += 1
        except pytest.fail.Exception:  # it was loaded
            back = load(tmp_path / "c")
            assert any(same(back, whole) for whole in wholes)
    assert 800 < count < 1000  # a zip says many things twice, and a splice can be a whole file


# ------------------------------------------------------------------ crashes
# In a program of its own with one thread, which can fork: a child saves two models in turn until
# it is killed, 200 times; each time the file is read again. What it prints: of the kills, how many
# came while a file was being written.
CRASH = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np
from tinygrad_ce.training.persistence import read, write
path = Path(sys.argv[1])
random.seed(0)
models = [{"W": np.full((300, 100), i), "n": i} for i in range(2)]
write(path, "thing", models[0])
amid = 0
for _ in range(200):
    child = os.fork()
    if not child:
        while True:
            for model in models:
                write(path, "thing", model)
    time.sleep(random.uniform(0, 0.01))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    back = read(path, "thing", dict)
    assert (back["W"] == models[back["n"]]["W"]).all()
    for part in path.parent.glob("*.part"):
        amid += 1
        part.unlink()
    assert list(path.parent.iterdir()) == [path]
print(amid)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_a_kill_at_any_moment_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", CRASH, str(tmp_path / "model.npz")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    assert run.stderr == ""
    assert int(run.stdout) > 20  # else the kills did not meet a file being written


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/fd")
def test_what_is_replaced_is_on_the_disk_before_its_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(fd: int) -> None:
        told.append("fsync " + os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))[:5])
        fsync(fd)

    def replaced(old: Any, new: Any) -> None:
        told.append("replace")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    write(tmp_path / "model.npz", "thing", {})
    assert told == ["fsync model", "replace", f"fsync {tmp_path.name[:5]}"]
