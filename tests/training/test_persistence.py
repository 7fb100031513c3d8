"""What is saved comes back; a file that is damaged, foreign, old or newer is refused."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from conftest import need
from helpers.files import mutated, same
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

safetensors = need("safetensors")
need("sklearn")
from safetensors.numpy import save  # noqa: E402

from tinygrad_ce.training.persistence import FORMAT, read, write  # noqa: E402

CONTENT = {
    "W": np.linspace(-1, 1, 12).reshape(3, 4).T,  # in Fortran's order
    "labels": np.array(["ja", "nein", "äöü𝛼"]),
    "objects": np.array(["a", 1, 2.5, None, True], object),
    "flags": np.array([True, False]),
    "float32": np.float32([0.1, np.nan, np.inf]),
    "empty": np.zeros((0, 3)),
    "scalar": np.array(-0.0),
    "options": {"x": [1, ["l2", [1e-300, -np.inf]], np.arange(3)], "y": {"deep": None, "W": 2.5}},
}


def load(path: Path) -> Any:
    return read(path)


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "thing.dat"  # the name as it is: no ending is added
    write(path, CONTENT)
    back = load(path)
    assert same(CONTENT, back)
    back["W"][0] = 1  # its own, writeable
    assert same(CONTENT, load(path))
    assert [p.name for p in tmp_path.iterdir()] == ["thing.dat"]


ARRAYS = hnp.arrays(
    st.one_of(
        hnp.floating_dtypes(endianness="="),
        hnp.integer_dtypes(endianness="="),
        hnp.boolean_dtypes(),
    ),
    hnp.array_shapes(min_dims=0, min_side=0),
)
NAMES = st.text(max_size=5).map("{}_".format)
TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), ARRAYS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
)


@pytest.mark.slow
@settings(max_examples=60)
@given(st.dictionaries(NAMES, TREES, max_size=4))
def test_any_tree_comes_back(tmp_path_factory: Any, content: dict[str, Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "tree.safetensors"
    write(path, content)
    assert same(content, load(path))


def test_other_programs_read_the_arrays_and_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write(path, {"W": np.eye(2)[::-1], "n": np.int64(3), "s": np.str_("x")})
    with safetensors.safe_open(path, "numpy") as file:
        assert list(file.keys()) == ["W"]
        np.testing.assert_array_equal(file.get_tensor("W"), [[0, 1], [1, 0]])
        texts = file.metadata()
    assert json.loads(texts["n"]) == 3
    assert json.loads(texts["s"]) == "x"
    assert json.loads(texts["W"]) == {"tensor": "W"}
    assert texts["tinygrad_ce"] == FORMAT


@pytest.mark.parametrize("x", [object(), np.array([1j]), np.array(["x"], "S"), {1, 2}, print])
def test_what_cannot_be_saved_is_named_and_leaves_the_old_file(tmp_path: Path, x: Any) -> None:
    path = tmp_path / "a"
    write(path, {"n": 1})
    with pytest.raises(TypeError, match=r"^inner: .* cannot be saved; numbers, text and arrays"):
        write(path, {"inner": {"x": x}})
    assert load(path) == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


# ------------------------------------------------------------------ files that are refused
def refused(path: Path, data: bytes, match: str = "damaged") -> None:
    """One line that names the file."""
    path.write_bytes(data)
    with pytest.raises(ValueError, match=match) as error:
        load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert error.value.__cause__ is None


class Trap:
    """Pickled, it is a call; of a function that this test would notice."""

    def __reduce__(self) -> Any:
        return (os.mkdir, ("trapped",))


GOOD = {"tinygrad_ce": FORMAT, "sha256": "0" * 64}
REFUSED = {
    "an empty file": (b"", "damaged, or no model of this tinygrad_ce: "),
    "text": (b"a,b\n1,2\n", "damaged, or no model of this tinygrad_ce: "),
    "a pickle": (pickle.dumps(Trap()), "damaged, or no model of this tinygrad_ce: "),
    "a header without end": (b"\xff" * 7 + b"\0{", "damaged, or no model of this tinygrad_ce: "),
    "another's": (
        save({"W": np.eye(2)}),
        "format None, foreign or newer: pip install --upgrade tinygrad_ce",
    ),
    "another's with facts": (save({}, {"a": "b"}), "format None, foreign or newer: pip install"),
    "no checksum": (save({}, {"tinygrad_ce": "2"}), "its content is not what was saved"),
    "a wrong checksum": (save({"W": np.eye(2)}, GOOD), "its content is not what was saved"),
    "a newer file": (
        save({}, GOOD | {"tinygrad_ce": "3"}),
        "format 3, foreign or newer: pip install --upgrade tinygrad_ce",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_foreign_and_newer_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(tmp_path / "a", *REFUSED[what])
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_an_npz_file_is_of_an_earlier_version(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", header=np.array("{}"), coef_=np.eye(2))
    data = (tmp_path / "a.npz").read_bytes()
    refused(tmp_path / "a.npz", data, "an .npz file of tinygrad_ce 0.1: fit anew$")


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nowhere")
    with pytest.raises(OSError):
        load(tmp_path)


def test_without_safetensors_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a", {})
    monkeypatch.setitem(sys.modules, "safetensors", None)
    message = r'a saved model needs safetensors: pip install "tinygrad_ce\[safetensors\]"'
    with pytest.raises(ImportError, match=message):
        load(tmp_path / "a")
    with pytest.raises(ImportError, match=message):
        write(tmp_path / "b", {})


@pytest.mark.slow
def test_mutated_files_are_refused_or_equal(tmp_path: Path, rng: np.random.Generator) -> None:
    write(tmp_path / "a", CONTENT)
    write(tmp_path / "b", CONTENT | {"W": CONTENT["W"] * 2})
    a, b = (tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()
    wholes = [load(tmp_path / "a"), load(tmp_path / "b")]
    count = 0
    for _ in range(1000):
        (tmp_path / "c").write_bytes(mutated(rng, a, b))
        try:
            back = load(tmp_path / "c")
        except ValueError:
            count += 1
        else:
            assert any(same(back, whole) for whole in wholes)
    assert 800 < count <= 1000


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
write(path, models[0])
amid = 0
for _ in range(200):
    child = os.fork()
    if not child:
        while True:
            for model in models:
                write(path, model)
    time.sleep(random.uniform(0, 0.01))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    back = read(path)
    assert (back["W"] == models[back["n"]]["W"]).all()
    for part in path.parent.glob("*.part"):
        amid += 1
        part.unlink()
    assert list(path.parent.iterdir()) == [path]
print(amid)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_a_kill_at_any_moment_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", CRASH, str(tmp_path / "model")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    assert run.stderr == ""
    assert int(run.stdout) > 10  # else the kills did not meet a file being written


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/fd")
def test_content_is_on_the_disk_before_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(fd: int) -> None:
        told.append(f"fsync {Path(f'/proc/self/fd/{fd}').readlink().suffix}")
        fsync(fd)

    def replaced(old: Any, new: Any) -> None:
        told.append("replace")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    write(tmp_path / "model", {})
    assert told == ["fsync .part", "replace"]


# ------------------------------------------------------------------ names and modes
@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_the_old_files_mode_stays(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a"
    write(path, {"n": 1})
    path.chmod(mode)
    write(path, {"n": 2})
    assert path.stat().st_mode & 0o7777 == mode
    assert load(path) == {"n": 2}


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
def test_a_file_that_may_not_be_written_to_is_not_replaced() -> None:
    with TemporaryDirectory() as folder:  # of pytest's, others may not see what is above
        path = Path(folder) / "a"
        path.parent.chmod(0o777)
        write(path, {"n": 1})
        path.chmod(0o444)
        user = os.geteuid()
        os.seteuid(user or 65534)  # root may write to any
        try:
            with pytest.raises(PermissionError, match=f"{path}"):
                write(path, {"n": 2})
        finally:
            os.seteuid(user)
        assert load(path) == {"n": 1}
        assert [*path.parent.iterdir()] == [path]


@pytest.mark.skipif(os.name != "posix", reason="links want rights on Windows")
@pytest.mark.parametrize("link", ["folder/real", "folder/absent", "to the other"])
def test_a_link_stays_and_what_it_names_is_replaced(tmp_path: Path, link: str) -> None:
    real = tmp_path / "folder" / "real"
    real.parent.mkdir()
    write(real, {"n": 1})
    (tmp_path / "to the other").symlink_to(real)
    (tmp_path / "link").symlink_to(link)  # relative: to where it stands
    write(tmp_path / "link", {"n": 2})
    assert (tmp_path / "link").readlink() == Path(link)
    assert load(tmp_path / link) == {"n": 2}
    assert (tmp_path / "to the other").is_symlink()
    assert {p.name for p in real.parent.iterdir()} <= {"real", "absent"}


@pytest.mark.skipif(os.name != "posix", reason="there are no such files on Windows")
def test_links_in_a_circle_are_an_error_and_a_pipe_stays_one(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match=r"symbolic links.*a'$"):
        write(tmp_path / "a", {})
    assert (tmp_path / "a").is_symlink()
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write(tmp_path / "pipe", {"n": 1})
    (tmp_path / "copy").write_bytes(os.read(reader, 10_000))
    os.close(reader)
    assert load(tmp_path / "copy") == {"n": 1}
    assert (tmp_path / "pipe").is_fifo()
    assert {p.name for p in tmp_path.iterdir()} == {"a", "b", "pipe", "copy"}


NAMED = [b"plain", "é.safetensors".encode(), "x" * 255, b"y" * 255, "ü" * 127]


@pytest.mark.skipif(sys.platform != "linux", reason="names there are bytes, 255 at most")
@pytest.mark.parametrize("name", [*NAMED, b"\xff\xfe"], ids=lambda name: repr(name[:9]))
def test_any_name_that_a_file_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    for n in (1, 2):
        write(name, {"n": n})
        assert read(name) == {"n": n}
    assert os.listdir(b".") == [os.fsencode(name)]
    Path(os.fsdecode(name)).write_bytes(b"damaged")
    with pytest.raises(ValueError) as error:
        read(name)
    assert str(error.value).startswith(f"{os.fsdecode(name)}: damaged")


def test_a_name_that_is_too_long_is_refused_by_that_name(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"x{300}'$"):
        write(tmp_path / ("x" * 300), {})
    assert not [*tmp_path.iterdir()]
