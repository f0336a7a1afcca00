"""Reading files of weights: arrays come out as they went in, and nothing runs.

Faults tried, and the test that caught each:
- find_class falls back to the real import -> test_a_hostile_pickle_is_refused_by_name
- a refused name only when it is called -> the same (bare)
- numpy's own _reconstruct or ndarray admitted -> test_nothing_large_is_reserved
- the stand-ins let themselves be changed -> test_admitted_names_cannot_be_changed
- notes not looked at before loading -> test_nothing_large_is_reserved
- Fortran order or byte order dropped -> test_arrays_of_every_pickle_come_back
- text of Python 2 read as ASCII -> test_a_pickle_of_python_2
- weights_only left out -> test_a_hostile_torch_file_is_refused_by_name
- links in .h5 files followed, outside data read -> test_outside_data_is_not_read
"""

from __future__ import annotations

import builtins
import collections
import contextlib
import os
import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.torch import save_file

from maskrcnn_scratch.cli import main
from maskrcnn_scratch.weights.pickle_file import read_pickle
from maskrcnn_scratch.weights.published_file import read_published

codes = st.sampled_from(["b1", "i1", "u1", "i2", "i4", "i8", "f2", "f4", "f8"])
orders = st.sampled_from("<>")
arrays = st.builds(lambda order, code: np.dtype(order + code), orders, codes).flatmap(
    lambda dtype: hnp.arrays(
        dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
    )
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


@given(
    array=arrays,
    fortran=st.booleans(),
    protocol=st.integers(0, pickle.HIGHEST_PROTOCOL),
)
def test_arrays_of_every_pickle_come_back(
    folder: Path, array: np.ndarray, fortran: bool, protocol: int
) -> None:
    path = folder / "weights.pkl"
    laid_out = np.asfortranarray(array) if fortran and array.ndim else array
    contents = {"model": collections.OrderedDict(w=laid_out), "__author__": "nobody"}
    path.write_bytes(pickle.dumps(contents, protocol))
    (name, tensor), *rest = read_published(path).tensors.items()
    assert (name, rest) == ("w", [])
    assert tuple(tensor.shape) == array.shape
    assert tensor.numpy().dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(tensor.numpy(), array)


@given(text=st.text(alphabet=st.characters(max_codepoint=255)), number=st.integers())
def test_plain_values_come_back(folder: Path, text: str, number: int) -> None:
    contents = {"text": text, "numbers": [number, (True, None)], "scalar": np.int16(7)}
    path = folder / "plain.pkl"
    path.write_bytes(pickle.dumps(contents, 2))
    assert read_pickle(path) == contents


def test_a_pickle_of_python_2(tmp_path: Path) -> None:
    """There bytes and text are one: the array [1, -2] as cPickle wrote it."""
    path = tmp_path / "weights.pkl"
    path.write_bytes(
        b"\x80\x02}U\x05blobs}U\x07conv1_w"
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x08" + struct.pack("<2f", 1, -2) + b"tbss."
    )
    (tensor,) = read_published(path).tensors.values()
    assert tensor.tolist() == [1, -2]
    assert tensor.dtype == torch.float32


class Call:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[Any, Any]:
        return self.reduced


HOSTILE = {
    "posix.mkdir": lambda sprung: Call(os.mkdir, sprung),
    "posix.system": lambda sprung: {"model": {"w": Call(os.system, f"touch {sprung}")}},
    "builtins.eval": lambda sprung: [
        Call(builtins.eval, f"__import__('os').mkdir({sprung!r})")
    ],
    "builtins.exec": lambda sprung: Call(
        collections.OrderedDict, [("a", Call(exec, f"open({sprung!r}, 'w')"))]
    ),
    "io.open": lambda sprung: {"model": [({"deep": Call(open, sprung, "w")},)]},
    "pathlib.PosixPath": lambda sprung: Path(sprung),
    "numpy.fromfile": lambda sprung: Call(np.fromfile, "/etc/passwd"),
    "builtins.bytearray": lambda sprung: bytearray(b"x"),
}


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_refused_by_name(
    tmp_path: Path, name: str, protocol: int
) -> None:
    sprung = tmp_path / "sprung"
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(HOSTILE[name](str(sprung)), protocol))
    module, _, attribute = name.rpartition(".")
    with pytest.raises(ValueError, match=rf"it names \S*\.{attribute}\b") as caught:
        read_published(path)
    assert module in str(caught.value) or protocol < 4
    assert not sprung.exists()


# Names that are never pickled so, written opcode by opcode: c is GLOBAL.
NAMED = {
    "bare": (b"cos\nsystem\n.", "os.system"),
    "attribute": (
        b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.",
        "ndarray.tofile",
    ),
    "alike": (b"cnumpy._coreevil\n_reconstruct\n.", "numpy._coreevil"),
    "torch": (b"ctorch._utils\n_rebuild_tensor_v2\n.", "_rebuild_tensor_v2"),
    "getattr": (b"c__builtin__\ngetattr\n.", "getattr"),
    "inst": (b"(ios\nsystem\n.", "os.system"),
}


@pytest.mark.parametrize("name", NAMED)
def test_naming_is_refused_already(tmp_path: Path, name: str) -> None:
    code, named = NAMED[name]
    (tmp_path / "evil.pkl").write_bytes(code)
    with pytest.raises(ValueError, match=f"it names .*{named}"):
        read_published(tmp_path / "evil.pkl")


NDARRAY = b"cnumpy\nndarray\n"
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
HUGE = b"\x8a\x06\x00\x00\x00\x00\x00\x01"  # 2 ** 40
FLOAT = b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R"
LARGE = {
    "reconstruct": RECONSTRUCT + NDARRAY + HUGE + b"\x85U\x01b\x87R.",
    "call": b"\x80\x02" + NDARRAY + HUGE + b"\x85\x85R.",
    "new": b"\x80\x02" + NDARRAY + HUGE + b"\x85\x85\x81.",
    "state": RECONSTRUCT
    + NDARRAY
    + b"K\x00\x85U\x01b\x87R(K\x01"
    + HUGE
    + b"\x85"
    + FLOAT
    + b"\x89U\x04abcdtb.",
    "negative": RECONSTRUCT
    + NDARRAY
    + b"K\x00\x85U\x01b\x87R(K\x01J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86"
    + FLOAT
    + b"\x89U\x04abcdtb.",
    "note": b"\x80\x02}r\xff\xff\xff\x00.",
    "call of bytes": b"c__builtin__\nbytes\n" + HUGE + b"\x85R.",
    "bytes": b"\x80\x04\x8e\x00\x00\x00\x00\x00\x01\x00\x00ab.",
    "frame": b"\x80\x04\x95\x00\x00\x00\x00\x00\x01\x00\x00}.",
    "text": b"\x80\x04\x8d\x00\x00\x00\x00\x00\x01\x00\x00ab.",
}


@pytest.mark.parametrize("name", LARGE)
def test_nothing_large_is_reserved(tmp_path: Path, name: str) -> None:
    """Whatever a few bytes ask for."""
    path = tmp_path / "large.pkl"
    path.write_bytes(LARGE[name])
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="is no pickle of plain arrays"):
            read_pickle(path)
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "code",
    [
        RECONSTRUCT + b"}U\x04nameU\x04evilsb.",
        RECONSTRUCT + b"N}U\x04makeNs\x86b.",
        b"ccollections\nOrderedDict\n}U\x08__call__Nsb.",
        NDARRAY + b"N}U\x04makeNs\x86b.",
    ],
)
def test_admitted_names_cannot_be_changed(tmp_path: Path, code: bytes) -> None:
    """BUILD sets attributes on whatever it is given, functions and classes too."""
    path = tmp_path / "evil.pkl"
    path.write_bytes(b"\x80\x02" + code)
    with pytest.raises(ValueError, match="it tries to change"):
        read_pickle(path)
    good = tmp_path / "good.pkl"
    good.write_bytes(pickle.dumps({"w": np.ones(2)}, 2))
    assert read_published(good).tensors["w"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (np.array([{}]), "array of 'O8'"),
        (np.array(["text"]), "array of 'U4'"),
        (np.zeros(2, [("a", "f4"), ("b", "f4")]), "array of 'V8'"),
        (np.zeros(1, "M8[s]"), "array of 'M8'"),
        (Call(__import__("_codecs").encode, "text", "zip"), "encodes to 'zip'"),
    ],
)
def test_other_arrays_and_encodings_are_refused(
    tmp_path: Path, contents: Any, message: str
) -> None:
    path = tmp_path / "odd.pkl"
    path.write_bytes(pickle.dumps({"w": contents}, 2))
    with pytest.raises(ValueError, match=message):
        read_published(path)


@given(code=st.binary(max_size=40))
def test_noise_is_a_value_error(folder: Path, code: bytes) -> None:
    """No other exception gets out, so the command line gives one line."""
    path = folder / "noise.pkl"
    path.write_bytes(b"\x80\x02" + code)
    with contextlib.suppress(ValueError):
        read_published(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_of_both_kinds(tmp_path: Path, zipped: bool) -> None:
    weights = {"a.weight": torch.randn(2, 3), "a.half": torch.ones(2).bfloat16()}
    path = tmp_path / "model.pth"
    contents = {"model": weights, "epoch": 3}
    torch.save(contents, path, _use_new_zipfile_serialization=zipped)
    file = read_published(path)
    assert file.format == ("torch zip" if zipped else "torch before 1.6")
    torch.testing.assert_close(file.tensors, weights, rtol=0, atol=0)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_torch_file_is_refused_by_name(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "evil.pth"
    sprung = tmp_path / "sprung"
    contents = {"w": Call(os.mkdir, str(sprung))}
    torch.save(contents, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"it names posix\.mkdir,") as caught:
        read_published(path)
    assert "Re-running" not in str(caught.value)
    assert not sprung.exists()


def test_safetensors_and_entries_that_are_no_tensors(tmp_path: Path) -> None:
    save_file({"w": torch.arange(3)}, tmp_path / "w.safetensors")
    assert read_published(tmp_path / "w.safetensors").tensors["w"].tolist() == [0, 1, 2]
    torch.save({"w": torch.ones(1), "epoch": 3}, tmp_path / "w.pth")
    assert read_published(tmp_path / "w.pth").others == ["epoch"]


def test_h5_by_layer(tmp_path: Path) -> None:
    """Keras nests a layer's name, and a model's within a model."""
    h5py = pytest.importorskip("h5py", reason="pip install 'maskrcnn-scratch[h5]'")
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        file["conv1/conv1/kernel:0"] = np.arange(6.0).reshape(2, 3)
        file["rpn_model/rpn_class_raw/bias:0"] = np.float32([5])
        file["conv1"].attrs["weight_names"] = [b"kernel:0"]
        file["keras_version"] = "2.0.8"
    read = read_published(path)
    assert read.format == "HDF5"
    assert {name: tensor.tolist() for name, tensor in read.tensors.items()} == {
        "conv1/kernel": [[0, 1, 2], [3, 4, 5]],
        "rpn_class_raw/bias": [5],
    }


def test_two_arrays_of_one_name_are_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="pip install 'maskrcnn-scratch[h5]'")
    with h5py.File(tmp_path / "twice.h5", "w") as file:
        file["a/conv1/kernel:0"] = np.ones(1)
        file["b/conv1/kernel:0"] = np.zeros(1)
    with pytest.raises(ValueError, match="has two arrays called conv1/kernel"):
        read_published(tmp_path / "twice.h5")


def test_outside_data_is_not_read(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="pip install 'maskrcnn-scratch[h5]'")
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["a/w"] = np.ones(4)
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["a/own"] = np.zeros(1)
        file["b"] = h5py.ExternalLink(str(secret), "/a")
    assert list(read_published(tmp_path / "link.h5").tensors) == ["a/own"]
    with h5py.File(tmp_path / "external.h5", "w") as file:
        file.create_dataset("a/w", (4,), "u1", external=[(str(secret), 0, 4)])
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((4,), "f8")
        layout[:] = h5py.VirtualSource(str(secret), "a/w", shape=(4,))
        file.create_virtual_dataset("a/w", layout)
    for name in ("external", "virtual"):
        with pytest.raises(ValueError, match="a/w lies in another file"):
            read_published(tmp_path / f"{name}.h5")
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("a/w", (2**40,), "f4", chunks=(1024,))
    with pytest.raises(ValueError, match="its arrays claim 4,398,046,511,104 bytes"):
        read_published(tmp_path / "huge.h5")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pth", b"", "none of the files that are read"),
        ("a.pth", b"PK\x03\x04broken", "no file of plain tensors"),
        ("a.h5", b"\x89HDF\r\n\x1a\nbroken", "no readable HDF5 file"),
        ("a.safetensors", b"\x02\0\0\0\0\0\0\0{x", "no safetensors file"),
        ("a.pkl", pickle.dumps([1, 2]), "holds no state dict"),
        ("a.pkl", pickle.dumps({3: 4}), "holds no state dict"),
    ],
)
def test_broken_files_are_named(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    if name.endswith(".h5"):
        pytest.importorskip("h5py", reason="pip install 'maskrcnn-scratch[h5]'")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} .*{message}"):
        read_published(path)
    with pytest.raises(FileNotFoundError, match="no weights at"):
        read_published(tmp_path / "nowhere")


def test_inspect_prints_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = {
        "backbone.body.conv1.weight": torch.ones(64, 3, 7, 7),
        "backbone.body.0.0.bias": torch.ones(512).half(),
    }
    torch.save({**weights, "epoch": 3}, tmp_path / "model.pth")
    assert main(["weights", "inspect", str(tmp_path / "model.pth")]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines]
    assert [
        *("backbone.body.conv1.weight", "[64,", "3,", "7,", "7]", "float32", "9,408")
    ] in rows
    assert ["backbone.body.0.0.bias", "[512]", "float16", "512"] in rows
    assert ["2", "tensors", "9,920"] in rows
    assert [line for line in lines if line[:3] in ("for", "sys", "can", "ent")] == [
        "format: torch zip",
        "system: torchvision",
        "cannot be converted: it has a MobileNet backbone",
        "entries that are no tensors: epoch",
    ]
