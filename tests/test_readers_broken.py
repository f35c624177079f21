"""Broken and hostile files end in a typed error that names the file, or read exactly as before; nothing in between.

Parquet, HDF5 and TTrees carry no checksum over everything, so a flipped bit in a value may read as another value: what
is promised for those is no crash, no foreign exception, and events that keep every rule. RNTuple
headers and npy sizes are checked, so truncation of those is always an error.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from evtok import Events
from evtok.errors import EvtokError, InputFileError, SchemaError
from evtok.io import open_events

SCHEMA = {
    "name": "jets",
    "formats": ["root", "parquet"],
    "objects": [{"collection": "Jet", "columns": {"pt": "pt", "eta": "eta"}}],
    "fields": {"MET": "MET_pt"},
}
RNG = np.random.default_rng(1)
COUNTS = RNG.integers(0, 4, 40)
JETS = {
    name: ak.unflatten(RNG.normal(size=COUNTS.sum()).astype(np.float32), COUNTS) for name in ("pt", "eta")
}
MET = RNG.random(40).astype(np.float32)


def tree(path: Path) -> None:
    with uproot.recreate(path) as file:
        made = file.mktree(
            "Events", {"Jet_pt": "var * float32", "Jet_eta": "var * float32", "MET_pt": "float32"}
        )
        made.extend({"Jet_pt": JETS["pt"], "Jet_eta": JETS["eta"], "MET_pt": MET})


def rntuple(path: Path) -> None:
    with uproot.recreate(path) as file:
        file.mkrntuple("Events", {"Jet": ak.zip(JETS), "MET_pt": MET})


def parquet(path: Path) -> None:
    flat = {f"Jet_{k}": pa.array(ak.to_list(v), pa.list_(pa.float32())) for k, v in JETS.items()}
    pq.write_table(pa.table(flat | {"MET_pt": MET}), path, row_group_size=17)


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("particles", data=PADDED, chunks=(8, 4, 3), compression="gzip", fletcher32=True)


def npy(path: Path) -> None:
    np.save(path, PADDED)


PADDED = np.where(RNG.random((40, 4, 1)) < 0.6, RNG.normal(3, 0.1, (40, 4, 3)), 0)
WRITERS: dict[str, tuple[Callable[[Path], None], object]] = {
    "tree.root": (tree, SCHEMA),
    "rntuple.root": (rntuple, SCHEMA),
    "flat.parquet": (parquet, SCHEMA),
    "x.h5": (hdf5, "padded"),
    "x.npy": (npy, "padded"),
}


def read(path: Path, schema: object) -> Events:
    with open_events(path, schema) as source:  # type: ignore[arg-type]
        return source.read()


def digest(events: Events) -> tuple[bytes, ...]:
    columns = [*events.columns.values(), *events.fields.values()]
    return (events.offsets.tobytes(), *(column.tobytes() for column in columns))


@pytest.fixture(params=WRITERS)
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, object]:
    """A whole small file, and its schema."""
    writer, schema = WRITERS[request.param]
    path = tmp_path / request.param
    writer(path)
    return path, schema


def test_p36_truncation_is_an_error_that_names_the_file(whole: tuple[Path, object]) -> None:
    path, schema = whole
    data = path.read_bytes()
    right = digest(read(path, schema))
    lengths = sorted(
        {
            *range(0, 64),
            *np.linspace(64, len(data) - 65, 150, dtype=int).tolist(),
            *range(len(data) - 64, len(data)),
        }
    )
    for length in lengths:
        path.write_bytes(data[:length])
        with pytest.raises((InputFileError, SchemaError)) as refused:
            read(path, schema)
        assert str(path) in str(refused.value), length
    path.write_bytes(data)
    assert digest(read(path, schema)) == right


def test_p36_flipped_bits_never_escape_as_foreign_errors(whole: tuple[Path, object]) -> None:
    path, schema = whole
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(5)
    refused = 0
    for position in rng.choice(len(data), 200, replace=False):
        bit = 1 << int(rng.integers(8))
        data[position] ^= bit
        path.write_bytes(data)
        data[position] ^= bit
        try:
            events = read(path, schema)
        except EvtokError as error:
            assert str(path) in str(error), (position, bit)  # noqa: PT017
            refused += 1
        else:
            assert len(events) <= 1_000_000
            assert events.offsets[-1] == len(events.columns["pt"])
    assert refused > 0


def test_p36_a_flipped_bit_in_checksummed_hdf5_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    hdf5(path)
    with h5py.File(path) as file:
        chunk = file["particles"].id.get_chunk_info(2)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(InputFileError, match="cannot read particles, rows 0 to 40"):
        read(path, "padded")


def test_p36_a_flipped_bit_in_a_parquet_page_with_a_checksum_is_an_error(tmp_path: Path) -> None:
    """Uncompressed floats, of which any bits make a number: the checksum alone can tell."""
    path = tmp_path / "x.parquet"
    pq.write_table(
        pa.table({"Jet_pt": [[1.0, 2.0]], "Jet_eta": [[0.5, 0.25]], "MET_pt": [1.5]}),
        path,
        write_page_checksum=True,
        use_dictionary=False,
        compression="none",
        write_statistics=False,  # so that the number is in its page alone
    )
    data = bytearray(path.read_bytes())
    place = data.index(np.float64(1.5).tobytes())
    for bit in range(64):
        data[place + bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        data[place + bit // 8] ^= 1 << bit % 8
        with pytest.raises(InputFileError, match=r"(?i)crc|checksum"):
            read(path, SCHEMA)


def test_p21_an_error_names_the_branch_and_the_entries(tmp_path: Path) -> None:
    path = tmp_path / "tree.root"
    tree(path)
    with uproot.open(path) as file:
        basket = file["Events/Jet_eta"].member("fBasketSeek")[0]
    data = bytearray(path.read_bytes())
    data[basket + 90 : basket + 130] = b"\xff" * 40
    path.write_bytes(data)
    with pytest.raises(InputFileError, match="cannot read Jet_eta, entries 0 to 40"):
        read(path, SCHEMA)


# ---- files of other kinds -----------------------------------------------------------------------------------------


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", b"")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"roo", "only 3 bytes of what may be a root file"),
        (zipped(), "a zip archive"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "gzip-compressed"),
        (b"BZh91AY&SY", "bzip2-compressed"),
        (b"\xfd7zXZ\0\0", "xz-compressed"),
        (b"\x28\xb5\x2f\xfd\0", "zstd-compressed"),
        (pickle.dumps([1, 2]), "a Python pickle, which is never loaded"),
        (b'<LesHouchesEvents version="3.0">\n', "an LHE file"),
        (b"\nHepMC::Version 3.02\n", "a HepMC file"),
        (b"ARROW1\0\0", "an Arrow IPC file"),
        (b"PARE....", "an encrypted Parquet file"),
        (b"pt,eta,phi\n1,2,3\n", "text that begins with 'pt,eta,phi'"),
        (b"\0\1\2\3\4\5\6\7\x08", "not a format that evtok knows"),
    ],
)
def test_p36_an_unsupported_file_says_what_it_is_and_what_would_be_supported(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "events.dat"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=message) as refused:
        open_events(path)
    assert str(path) in str(refused.value)
    if len(content) > 4:
        assert "Supported: ROOT" in str(refused.value)


def test_a_root_file_without_a_tree(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "t.root") as file:
        file["h"] = np.histogram([1.0, 2.0])
    with pytest.raises(SchemaError, match="it has no tree at all, only h"):
        open_events(tmp_path / "t.root", SCHEMA)


# ---- hostile npy --------------------------------------------------------------------------------------------------


def test_objects_in_npy_are_never_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    np.save(tmp_path / "x.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(InputFileError, match="holds Python objects \\(pickled\\), which are never loaded"):
        open_events(tmp_path / "x.npy", "padded")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("shape", [(10**12, 4, 3), (2**62, 2, 3), (41, 4, 3)])
def test_p39_a_npy_header_that_claims_too_much_is_refused_before_allocation(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    npy(tmp_path / "x.npy")
    body = (tmp_path / "x.npy").read_bytes()[128:]
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    (tmp_path / "x.npy").write_bytes(
        b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + body
    )
    with pytest.raises(InputFileError, match=r"the header says float64 of shape .*; it is truncated"):
        open_events(tmp_path / "x.npy", "padded")


def test_bytes_after_a_npy_array_are_refused(tmp_path: Path) -> None:
    npy(tmp_path / "x.npy")
    with (tmp_path / "x.npy").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(InputFileError, match="followed by other bytes"):
        open_events(tmp_path / "x.npy", "padded")


def test_fortran_order_and_other_dtypes_say_what_to_do(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.asfortranarray(PADDED))
    with pytest.raises(
        InputFileError, match=r"is in Fortran order; save it with numpy.save\(path, numpy.ascontiguous"
    ):
        open_events(tmp_path / "f.npy", "padded")
    np.save(tmp_path / "c.npy", PADDED.astype(complex))
    with pytest.raises(
        InputFileError, match=r"holds complex128 of shape .*, expected an array of real numbers"
    ):
        open_events(tmp_path / "c.npy", "padded")


@pytest.mark.parametrize("suffix", ["npy", "h5"])
def test_p36_numbers_wider_than_64_bits_are_an_error_of_the_file(tmp_path: Path, suffix: str) -> None:
    """One flipped bit makes them of others."""
    path = tmp_path / f"x.{suffix}"
    if suffix == "npy":
        np.save(path, PADDED.astype(np.longdouble))
    else:
        with h5py.File(path, "w") as file:
            file["particles"] = PADDED.astype(np.longdouble)
    with pytest.raises(EvtokError, match=rf"x\.{suffix}: .*float128.*real numbers of up to 64 bits"):
        open_events(path, "padded").read()


# ---- hostile HDF5 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["external link", "soft link", "dangling link", "virtual", "external storage"]
)
def test_p45_hdf5_never_leads_to_another_file(tmp_path: Path, kind: str) -> None:
    hdf5(tmp_path / "secret.h5")
    (tmp_path / "raw.bin").write_bytes(PADDED.tobytes())
    with h5py.File(tmp_path / "x.h5", "w") as file:
        if kind == "external link":
            file["particles"] = h5py.ExternalLink("secret.h5", "/particles")
        elif kind == "dangling link":
            file["particles"] = h5py.ExternalLink("nowhere.h5", "/particles")
        elif kind == "soft link":
            file["other"] = h5py.ExternalLink("secret.h5", "/particles")
            file["particles"] = h5py.SoftLink("/other")
        elif kind == "virtual":
            layout = h5py.VirtualLayout(PADDED.shape, "f8")
            layout[:] = h5py.VirtualSource("secret.h5", "particles", PADDED.shape)
            file.create_virtual_dataset("particles", layout)
        else:
            file.create_dataset(
                "particles", PADDED.shape, "f8", external=[("raw.bin", 0, h5py.h5f.UNLIMITED)]
            )
    with pytest.raises(InputFileError, match=r"particles (is a|keeps its data)"):
        read(tmp_path / "x.h5", "padded")


def test_p39_an_hdf5_dataset_that_stores_nothing_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("particles", (10**12, 4, 3), "f8", chunks=(1000, 4, 3), compression="gzip")
    with pytest.raises(InputFileError, match=r"particles claims 96000000000000 bytes .* but 0 are stored"):
        open_events(tmp_path / "x.h5", "padded")


def test_p39_an_hdf5_chunk_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset(
            "particles", (15_000_000, 4, 3), "f8", chunks=(15_000_000, 4, 3), compression="gzip"
        )
    with pytest.raises(InputFileError, match="in chunks of 1440000000"):
        open_events(tmp_path / "x.h5", "padded")


def test_p45_an_unknown_hdf5_filter_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_chunk((8, 4, 3))
        creation.set_filter(399, h5py.h5z.FLAG_OPTIONAL, ())  # nobody's number
        space = h5py.h5s.create_simple(PADDED.shape)
        h5py.h5d.create(file.id, b"particles", h5py.h5t.IEEE_F64LE, space, creation)
    with pytest.raises(InputFileError, match="compressed with HDF5 filter 399, which is not supported"):
        open_events(tmp_path / "x.h5", "padded")


def test_an_hdf5_file_without_the_dataset_lists_what_is_there(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["constituents"] = PADDED
    with pytest.raises(SchemaError, match=r"needs df/block0_values; the file has constituents"):
        open_events(tmp_path / "x.h5", "lhco")
    with pytest.raises(SchemaError, match="a hdf5 file that no preset fits"):
        open_events(tmp_path / "x.h5")
