"""What encoding counts and refuses, and what decoding gives back. Integers and copied floats: compared with ==."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from evtok import Events, Tokens, reference
from evtok.errors import InvalidEventsError
from evtok.report.bins import bins_of
from evtok.report.closure import repeats_tokens
from evtok.tokenizers import BinnedTokenizer, EqualFrequency, Explicit, Feature, Uniform

PT = Feature("pt", Explicit((10.0, 20.0, 30.0)))


def tokens_of(tokenizer: BinnedTokenizer, *sequences: list[int]) -> Tokens:
    offsets = np.cumsum([0] + [len(s) for s in sequences])
    return Tokens(
        np.array([*itertools.chain(*sequences)], np.int32), offsets, vocab_size=tokenizer.vocab_size
    )


def report_of(tokens: Tokens) -> Any:
    assert tokens.report is not None
    return tokens.report


# ---- encoding --------------------------------------------------------------------------------------------------


def test_factorised_has_no_limit_on_combinations(tmp_path: Any) -> None:
    """4 x 999 bins are 10**12 combinations, and 4004 ids."""
    features = {f"f{k}": Feature("pt", Uniform(1000, 0, 1000 * (k + 1))) for k in range(4)}
    tokenizer = BinnedTokenizer(features, factorised=True, specials=("pad",))
    events = Events([0, 2, 3], {"pt": np.array([0.5, 400.25, 999.0])})
    tokens = tokenizer.encode(events)
    for k in range(4):
        codes = np.digitize(events.columns["pt"], np.linspace(0, 1000 * (k + 1), 1000))
        np.testing.assert_array_equal(tokens.ids.reshape(-1, 4)[:, k], 1 + 1001 * k + codes)
    tokenizer.save(tmp_path / "tok")
    again = BinnedTokenizer.load(tmp_path / "tok")
    np.testing.assert_array_equal(again.encode(events).ids, tokens.ids)
    assert again.decode(tokens).n_objects == 3


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@pytest.mark.parametrize("where", ["feature", "sort_by", "field"])
def test_p16_integers_that_float64_would_round_are_refused(dtype: type, where: str) -> None:
    good = np.array([0, 2**53], dtype)
    bad = np.array([0, 2**53 + 1], dtype)
    options: dict[str, Any] = {
        "feature": {"features": {"x": Feature("x", Explicit((2.0**53,)))}},
        "sort_by": {"features": {"pt": PT}, "sort_by": "x"},
        "field": {
            "features": {"pt": PT},
            "event_features": {"x": Feature("x", Explicit((2.0**53,)))},
            "sequence": ("x", "objects"),
        },
    }[where]
    tokenizer = BinnedTokenizer(**options)
    pt = np.ones(2)
    for x, fine in ((good, True), (bad, False)):
        events = Events([0, 1, 2], {"pt": pt, "x": x}, {"x": x})
        if fine:
            tokenizer.encode(events)
            continue
        name = rf"{'field' if where == 'field' else 'column'}s\['x'\]"
        with pytest.raises(TypeError, match=rf"{name}: expected integers up to 2\*\*53 in size, got 0 to"):
            tokenizer.encode(events)
    if dtype == np.int64:
        with pytest.raises(TypeError, match=r"got -\d+ to 0"):
            tokenizer.encode(Events([0, 1, 2], {"pt": pt, "x": -bad}, {"x": -bad}))


def test_unknown_event_tokens_are_counted() -> None:
    met = Feature("MET", Explicit((10.0, 20.0, 30.0)), outside="unknown")
    tokenizer = BinnedTokenizer({"pt": PT}, event_features={"MET": met}, sequence=("MET", "objects"))
    events = Events([0, 1, 2, 3, 4], {"pt": np.full(4, 15.0)}, {"MET": np.array([5.0, 15.0, 99.0, np.nan])})
    tokens = tokenizer.encode(events, on_invalid="sentinel")
    unk = tokenizer.special_ids["unk"]
    assert [int(ids[0]) for ids in tokens] == [unk, tokenizer.vocabulary.event_bases["MET"], unk, -1]
    assert report_of(tokens).unknown_event_tokens == 2
    assert report_of(tokens).invalid_event_tokens == 1
    assert report_of(tokens).unknown == 0
    with pytest.raises(InvalidEventsError, match="event 3: field 'MET' = nan"):
        tokenizer.encode(events)


@pytest.mark.parametrize("factorised", [False, True])
def test_unknown_counts_ids_before_truncation(factorised: bool) -> None:
    features = {name: Feature(name, Explicit((0.0, 1.0)), outside="unknown") for name in ("x", "y")}
    width = 2 if factorised else 1
    tokenizer = BinnedTokenizer(
        features, factorised=factorised, specials=("unk",), max_length=2 * width, too_long="truncate"
    )
    events = Events([0, 4], {"x": np.array([0.5, 5, 5, 0.5]), "y": np.array([0.5, 5, 0.5, 5])})
    report = report_of(tokenizer.encode(events))
    assert report.unknown == (4 if factorised else 3)
    assert report.truncated_objects == 2


def test_an_invalid_object_that_truncation_would_drop_is_an_error() -> None:
    tokenizer = BinnedTokenizer({"pt": PT}, max_length=1, too_long="truncate")
    events = Events([0, 2], {"pt": np.array([15.0, np.nan])})
    with pytest.raises(InvalidEventsError, match="event 0, object 1"):
        tokenizer.encode(events)
    tokens = tokenizer.encode(events, on_invalid="sentinel")
    assert tokens.ids.tolist() == [5]
    assert report_of(tokens).invalid == 1


def test_encode_takes_an_awkward_array_of_records() -> None:
    ak = pytest.importorskip("awkward", reason="awkward is not installed")
    jets = ak.Array(
        [
            [{"pt": 15.0, "eta": 0.5, "name": "a"}, {"pt": 5.0, "eta": -0.5, "name": "b"}],
            [],
            [{"pt": 25.0, "eta": 9.0, "name": "c"}],
        ]
    )
    tokenizer = BinnedTokenizer({"pt": PT, "eta": Feature("eta", Uniform(5, -1, 1))}, sort_by="pt")
    expected = tokenizer.encode(Events.from_awkward(jets[["pt", "eta"]]))
    tokens = tokenizer.encode(jets)  # the text `name` is not read
    np.testing.assert_array_equal(tokens.ids, expected.ids)
    np.testing.assert_array_equal(tokens.offsets, [0, 2, 2, 3])
    selected = tokenizer.encode(jets[jets.pt > 10])
    np.testing.assert_array_equal(selected.ids, expected.ids[[0, 2]])
    with pytest.raises(InvalidEventsError, match="no column 'eta'; there are pt"):
        tokenizer.encode(jets[["pt"]])
    with pytest.raises(TypeError, match="expected a list of records"):
        tokenizer.encode(jets.pt)
    with pytest.raises(TypeError, match="events: expected Events, or an awkward array"):
        tokenizer.encode({"pt": [1.0]})  # type: ignore[arg-type]
    relative = BinnedTokenizer({"deta": Feature("eta", Uniform(5, -1, 1), relative_to="jet_eta")})
    with pytest.raises(InvalidEventsError, match=r"needs jet_eta .* Events\.from_awkward"):
        relative.encode(jets)


# ---- fitting ---------------------------------------------------------------------------------------------------


def test_fit_passes_over_unknown_objects_where_there_is_unk() -> None:
    events = Events(
        [0, 4], {"pt": np.array([5, 15, 15, 25.0]), "type": np.array([0, 1, 0, 2])}, types=("j", "b", "tau")
    )
    options: dict[str, Any] = {"types": ("j", "b"), "vocabulary": "seen"}
    tokenizer = BinnedTokenizer({"pt": PT}, specials=("unk",), **options).fit(events)
    assert tokenizer.vocab_size == 4
    assert tokenizer.encode(events).ids.tolist() == [1, 3, 2, 0]
    strict = BinnedTokenizer({"pt": PT}, specials=(), **options)
    with pytest.raises(InvalidEventsError, match="1 objects have an invalid value or an unknown type"):
        strict.fit(events)
    bad = events.with_columns(pt=np.array([5, np.nan, 15, 25.0]))
    with pytest.raises(InvalidEventsError, match="1 objects have an invalid value"):
        BinnedTokenizer({"pt": PT}, specials=("unk",), **options).fit(bad)


@pytest.mark.parametrize(
    "dtypes", [(np.float32, np.float64), (np.float64, np.float32), (np.float32, np.int32)]
)
def test_fit_of_mixed_dtypes_names_the_feature(dtypes: tuple[type, type]) -> None:
    chunks = [Events([0, 3], {"pt": np.array([1, 2, 3], dtype)}) for dtype in dtypes]
    tokenizer = BinnedTokenizer({"p": Feature("pt", EqualFrequency(2))})
    first, second = (np.dtype(np.float64 if d is np.int32 else d) for d in dtypes)
    with pytest.raises(
        TypeError, match=rf"feature 'p' is {first} in the first chunk and {second} in a later"
    ):
        tokenizer.fit(chunks)
    assert tokenizer.fit([e.with_columns(pt=e.columns["pt"].astype(np.float64)) for e in chunks]).is_fitted


# ---- decoding --------------------------------------------------------------------------------------------------


def layout(**options: Any) -> BinnedTokenizer:
    return BinnedTokenizer(
        {"pt": PT},
        specials=("pad", "bos", "unk", "mask"),
        specials_high=("eos",),
        event_features={"MET": Feature("MET", Explicit((10.0, 20.0)))},
        sequence=("bos", "MET", "objects", "eos"),
        headroom=0.5,
        **options,
    )


PAD, BOS, UNK, MASK, PT_0, MET_0, EOS, FREE = 0, 1, 2, 3, 4, 8, 11, 12


def test_p10_decode_takes_padding_at_the_end_and_what_encode_may_give() -> None:
    tokenizer = layout()
    assert tokenizer.special_ids["eos"] == EOS
    assert tokenizer.vocab_size > FREE
    decoded = tokenizer.decode(
        tokens_of(
            tokenizer,
            [BOS, MET_0 + 1, PT_0 + 1, UNK, -1, EOS],
            [BOS, UNK, EOS, PAD, PAD],
            [BOS, -1, PT_0 + 2, EOS, PAD],
        )
    )
    assert decoded.multiplicity.tolist() == [3, 0, 1]
    np.testing.assert_array_equal(decoded.columns["pt"], [15, np.nan, np.nan, 25])
    np.testing.assert_array_equal(decoded.fields["MET"], [15, np.nan, np.nan])


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        ([BOS, MET_0, FREE, EOS], rf"token 7: expected a token of an object, got id {FREE}$"),
        ([BOS, MET_0, MASK, EOS], r"token 7: expected a token of an object, got id 3 \('mask'\)"),
        ([BOS, MET_0, PAD, PT_0, EOS], r"token 7: expected a token of an object, got id 0 \('pad'\)"),
        ([BOS, MET_0, MET_0, EOS], "token 7: expected a token of an object, got id 8"),
        ([BOS, MET_0, EOS, PT_0], "token 8: expected a token 'eos', got id 4"),
        ([BOS, PT_0, MET_0, EOS], "token 6: expected a token 'MET', got id 4"),
        ([MET_0, BOS, PT_0, EOS], "token 5: expected a token 'bos', got id 8"),
        ([-1, MET_0, EOS], r"id -1 \(token 5\) is outside"),
        ([BOS, MET_0, PAD], "event 1 has 2 tokens besides padding, fewer than the 3 around"),
        ([], "event 1 has 0 tokens besides padding"),
        ([BOS, MET_0, 1000, EOS], r"id 1000 \(token 7\) is outside"),
        ([BOS, MET_0, -2, EOS], r"id -2 \(token 7\) is outside"),
    ],
)
def test_p10_decode_refuses_ids_without_a_meaning_in_their_place(sequence: list[int], message: str) -> None:
    tokenizer = layout()
    good = [BOS, MET_0, PT_0, EOS, PAD]
    with pytest.raises(InvalidEventsError, match=message):
        tokenizer.decode(tokens_of(tokenizer, good, sequence, good))


def test_p10_decode_with_padding_as_a_token_of_the_sequence() -> None:
    tokenizer = BinnedTokenizer({"pt": PT}, specials=("pad",), sequence=("objects", "pad"))
    tokens = tokenizer.encode(Events([0, 2, 2], {"pt": np.array([15.0, 25.0])}))
    assert tokens.ids.tolist() == [2, 3, 0, 0]
    assert tokenizer.decode(tokens).offsets.tolist() == [0, 2, 2]
    assert tokenizer.decode(tokens_of(tokenizer, [2, 0, 0, 0])).multiplicity.tolist() == [1]


@pytest.mark.parametrize("factorised", [False, True])
def test_p10_invalid_objects_decode_to_nan_of_type_unk(factorised: bool) -> None:
    tokenizer = BinnedTokenizer({"pt": PT}, types=("j", "b"), specials=(), factorised=factorised)
    events = Events([0, 2], {"pt": np.array([15.0, np.nan]), "type": np.array([1, 0])}, types=("j", "b"))
    tokens = tokenizer.encode(events, on_invalid="sentinel")
    decoded = tokenizer.decode(tokens)
    np.testing.assert_array_equal(decoded.columns["pt"], [15, np.nan])
    assert [decoded.types[code] for code in decoded.columns["type"]] == ["b", "unk"]


def test_p10_decoded_columns_have_the_names_that_encode_reads() -> None:
    features = {
        "p": PT,
        "fine": Feature("pt", Explicit((1.0, 2.0))),  # the second feature of a column
        "deta": Feature("eta", Uniform(5, -1, 1), relative_to="jet_eta"),
    }
    tokenizer = BinnedTokenizer(
        features,
        event_features={"met": Feature("MET", Explicit((5.0, 6.0)))},
        sequence=("met", "objects"),
        factorised=True,
    )
    rng = np.random.default_rng(0)
    events = Events(
        [0, 4, 4, 9],
        {"pt": rng.uniform(10, 30, 9), "eta": rng.normal(0, 1, 9)},
        {"MET": np.array([1.0, 5.5, 7.0]), "jet_eta": np.zeros(3)},
    )
    tokens = tokenizer.encode(events)
    decoded = tokenizer.decode(tokens)
    assert list(decoded.columns) == ["pt", "fine", "deta"]
    assert list(decoded.fields) == ["MET"]
    again = [bins.decoded(decoded) for bins in bins_of(tokenizer, {})]
    for values, found in zip([*decoded.columns.values(), *decoded.fields.values()], again, strict=True):
        np.testing.assert_array_equal(found, values)
    plain = BinnedTokenizer(
        {"p": PT},
        event_features={"met": Feature("MET", Explicit((5.0, 6.0)))},
        sequence=("met", "objects"),
    )
    tokens = plain.encode(events)
    np.testing.assert_array_equal(plain.encode(plain.decode(tokens)).ids, tokens.ids)


def test_the_report_does_not_encode_again_what_was_wrapped() -> None:
    """The column ``phi`` is not had back from the wrapped feature ``angle``."""
    angle = Feature("phi", Uniform(5, -3, 3), wrap=True)
    assert repeats_tokens(BinnedTokenizer({"angle": angle}), []) is None
    of_event = BinnedTokenizer({"pt": PT}, event_features={"angle": angle}, sequence=("angle", "objects"))
    assert repeats_tokens(of_event, []) is None


def test_p10_two_features_never_decode_to_one_name() -> None:
    features = {
        "pt": Feature("eta", Uniform(5, -1, 1), wrap=True),
        "p": PT,
    }
    tokenizer = BinnedTokenizer(features)
    with pytest.raises(ValueError, match="two of them would be decoded to 'pt'"):
        tokenizer.decode(tokens_of(tokenizer, []))


# ---- tokens ----------------------------------------------------------------------------------------------------


def some_tokens(dtype: npt.DTypeLike = np.uint16) -> Tokens:
    return Tokens(np.array([1, 2, 3], dtype), [0, 2, 2, 3], vocab_size=10)


@pytest.mark.parametrize(("pad", "dtype"), [(70_000, np.int32), (-1, np.int32), (65_535, np.uint16)])
def test_padding_that_does_not_fit_uint16_widens_the_ids(pad: int, dtype: type) -> None:
    ids, mask = some_tokens().to_padded(pad=pad)
    assert ids.dtype == dtype
    assert ids.tolist() == [[1, 2], [pad, pad], [3, pad]]
    assert mask.tolist() == [[True, True], [False, False], [True, False]]


def test_padding_that_fits_no_id_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pad: expected an id that fits in int32, got 2147483648"):
        some_tokens().to_padded(pad=2**31)


def test_tokens_are_selected_by_a_mask_as_events_are() -> None:
    tokens = some_tokens()
    keep = np.array([True, False, True])
    for chosen in (tokens[keep], tokens[keep.tolist()], tokens.select(keep)):
        assert chosen.ids.tolist() == [1, 2, 3]
        assert chosen.offsets.tolist() == [0, 2, 3]
    with pytest.raises(IndexError, match=r"keep: expected shape \(3,\), got \(2,\)"):
        tokens[keep[:2]]
    for wrong in (np.array([1, 0, 1]), np.array([0.0, 1.0, 1.0])):
        with pytest.raises(IndexError, match="keep: expected a boolean mask"):
            tokens.select(wrong)
        with pytest.raises(IndexError, match="keep: expected a boolean mask"):
            tokens[wrong]
    with pytest.raises(IndexError, match=r"expected an int, a slice or a boolean mask, got 0\.9"):
        tokens[0.9]  # type: ignore[call-overload]


# ---- events and the readable definitions -----------------------------------------------------------------------


def test_more_types_than_codes_are_refused() -> None:
    columns = {"type": np.array([300])}
    with pytest.raises(InvalidEventsError, match="types: expected at most 256 names, got 301"):
        Events([0, 1], columns, types=[f"t{k}" for k in range(301)])
    assert len(Events([0, 1], {"type": np.array([255])}, types=[f"t{k}" for k in range(256)]).types) == 256


def test_events_are_chosen_by_whole_numbers_only() -> None:
    events = Events([0, 1, 3], {"pt": np.arange(3.0)})
    for wrong in (np.array([0.9, 1.7]), np.array(0.5), np.array([[0, 1]]), ["0"]):
        with pytest.raises(IndexError, match="events: expected an int, a slice"):
            events[wrong]
    assert len(events[[]]) == 0
    assert events[np.array([1, 0], np.uint8)].columns["pt"].tolist() == [1, 2, 0]


def test_from_padded_takes_one_word_on_empty_slots() -> None:
    array = np.ones((1, 2, 2))
    mask = np.ones((1, 2), bool)
    with pytest.raises(InvalidEventsError, match=r"padded_where_zero: expected one of .*, got 'nope'"):
        Events.from_padded(array, mask, ("pt", "eta"), padded_where_zero="nope")
    with pytest.raises(InvalidEventsError, match="both say which slots are empty"):
        Events.from_padded(array, mask, ("pt", "eta"), padded_where_zero="eta")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_objects_sorted_by_nan_come_last_as_found(isa: str, dtype: type) -> None:
    pt = np.array([np.nan, 1, 3, np.nan, 3, -np.inf, 2, np.inf], dtype)
    order = reference.object_order(pt.tolist())
    assert order == [7, 2, 4, 6, 1, 5, 0, 3]
    tokenizer = BinnedTokenizer(
        {"x": Feature("x", Explicit(tuple(np.arange(7) + 0.5)))}, sort_by="pt", specials=()
    )
    tokens = tokenizer.encode(Events([0, 8], {"pt": pt, "x": np.arange(8.0)}))
    assert tokens.ids.tolist() == order


def test_p43_pickled_tokens_are_the_same_and_read_only() -> None:
    tokenizer = BinnedTokenizer({"pt": PT})
    tokens = tokenizer.encode(Events([0, 2, 2, 3], {"pt": np.array([5.0, 25.0, 15.0])}))
    for made in (tokens, tokens[1:], some_tokens()):
        found = pickle.loads(pickle.dumps(made))
        for name in ("fingerprint", "vocab_size", "pad_id", "report"):
            assert getattr(found, name) == getattr(made, name)
        np.testing.assert_array_equal(found.offsets, made.offsets)
        np.testing.assert_array_equal(found.ids, made.ids)
        assert found.ids.dtype == made.ids.dtype
        assert not found.ids.flags.writeable
        assert not found.offsets.flags.writeable
