"""`evtok.torch.VectorQuantizer`: its ids, its gradients, what it learns, and that none of it depends on how it runs."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import evtok  # noqa: E402
from evtok import _core  # noqa: E402
from evtok.torch import VectorQuantizer  # noqa: E402

# Every way to learn, with what each can do.
KINDS: dict[str, dict[str, Any]] = {
    "ema": {"dead_below": 1.0},
    "ema-kmeans": {"kmeans_init": True},
    "cosine": {"metric": "cosine", "dead_below": 1.0},
    "cosine-kmeans": {"metric": "cosine", "kmeans_init": True},
    "learnable": {"codebook": "learnable"},
    "learnable-kmeans": {"codebook": "learnable", "kmeans_init": True},
}


def vectors(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def mask_of(*shape: int, seed: int = 9) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape) < 0.7)


def trained(quantizer: Any, steps: int = 4, call: Any = None) -> list[torch.Tensor]:
    """Everything that `steps` steps of training make: results, gradients, and the state at the end."""
    optimizer = torch.optim.SGD(quantizer.parameters(), lr=0.1) if quantizer.learnable else None
    made = []
    for step in range(steps):
        x = vectors(6, 20, 4, seed=step).requires_grad_()
        result = (quantizer if call is None else call)(x, mask_of(6, 20, seed=step))
        (result.loss + (result.quantized * vectors(6, 20, 4, seed=100)).sum()).backward()
        made += [*result, x.grad]
        if optimizer:
            made.append(quantizer.codes.grad.clone())
            optimizer.step()
            optimizer.zero_grad()
    return [t.detach() for t in [*made, *quantizer.state_dict().values()]]


def assert_same_bits(a: list[torch.Tensor], b: list[torch.Tensor]) -> None:
    assert len(a) == len(b)
    for i, (left, right) in enumerate(zip(a, b, strict=True)):
        assert left.dtype == right.dtype
        assert torch.equal(left, right), f"tensor {i}"


# ---- results -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_quantized_is_the_code_of_the_id_exactly(metric: str) -> None:
    quantizer = VectorQuantizer(4, 32, metric=metric).eval()
    x = vectors(5, 30, 4)
    quantized, ids, loss = quantizer(x)
    assert ids.dtype == torch.int64
    assert quantized.dtype == torch.float32
    assert torch.equal(quantized, quantizer.decode(ids))
    assert np.array_equal(ids.numpy(), evtok.nearest(x.numpy(), quantizer.codes.numpy(), metric=metric))
    rows = x / x.norm(dim=-1, keepdim=True) if metric == "cosine" else x
    assert loss.item() == pytest.approx(((rows - quantized) ** 2).mean().item(), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_p2_the_ids_are_those_of_its_codebook_and_back(kind: str) -> None:
    quantizer = VectorQuantizer(4, 8, **KINDS[kind])
    trained(quantizer)
    quantizer.eval()
    codebook = quantizer.to_codebook()
    x = vectors(500, 4, seed=77)
    ids = quantizer(x).ids
    assert torch.equal(codebook.nearest(x).long(), ids)
    again = VectorQuantizer.from_codebook(codebook, decay=0.9).eval()
    assert again.metric == quantizer.metric
    assert_same_bits(list(again(x)), list(quantizer(x)))


def test_p2_a_cosine_codebook_whose_codes_have_any_length_keeps_its_ids() -> None:
    codebook = evtok.Codebook(
        (vectors(50, 4, seed=3) * vectors(50, 1, seed=4).exp()).numpy(), metric="cosine"
    )
    x = vectors(2000, 4)
    quantizer = VectorQuantizer.from_codebook(codebook).eval()
    assert torch.equal(quantizer(x).ids, codebook.nearest(x).long())
    assert torch.allclose(quantizer(x).quantized.norm(dim=-1), torch.ones(2000))


def test_p1_a_row_has_the_same_result_in_every_batch() -> None:
    quantizer = VectorQuantizer(4, 40).eval()
    x = vectors(64, 4) + 300
    whole = quantizer(x)
    order = torch.from_numpy(np.random.default_rng(1).permutation(64))
    permuted = quantizer(x[order])
    assert torch.equal(permuted.ids, whole.ids[order])
    for size in (1, 7, 33):
        parts = [quantizer(part) for part in x.split(size)]
        assert torch.equal(torch.cat([part.ids for part in parts]), whole.ids)
        assert torch.equal(torch.cat([part.quantized for part in parts]), whole.quantized)


@pytest.mark.parametrize("kind", ["ema", "cosine", "learnable"])
def test_masked_rows_have_no_id_no_loss_no_gradient_and_teach_nothing(kind: str) -> None:
    mask = mask_of(6, 20)
    made = []
    for padding in (0.0, 1e30, float("nan")):
        quantizer = VectorQuantizer(4, 8, **KINDS[kind])
        x = vectors(6, 20, 4)
        x[~mask] = padding
        x.requires_grad_()
        result = quantizer(x, mask)
        (result.loss + result.quantized.sum()).backward()
        assert (result.ids[~mask] == -1).all()
        assert (result.ids[mask] >= 0).all()
        assert torch.equal(result.quantized[~mask], torch.zeros(int((~mask).sum()), 4))
        assert torch.equal(x.grad[~mask], torch.zeros(int((~mask).sum()), 4))
        made.append(
            [result.ids, result.quantized.detach(), result.loss.detach(), x.grad, quantizer.codes.detach()]
        )
    assert_same_bits(made[0], made[1])
    assert_same_bits(made[0], made[2])
    # What is left is what the rows alone, without the padding, would have given.
    alone = VectorQuantizer(4, 8, **KINDS[kind])
    result = alone(vectors(6, 20, 4)[mask])
    assert torch.equal(result.ids, made[0][0][mask])
    assert torch.equal(result.loss.detach(), made[0][2])
    assert torch.equal(alone.codes.detach(), made[0][4])


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_without_a_row_changes_nothing(kind: str) -> None:
    quantizer = VectorQuantizer(4, 8, **{**KINDS[kind], "kmeans_init": False})
    before = copy.deepcopy(quantizer.state_dict())
    for x, mask in ((torch.zeros(0, 4), None), (vectors(3, 4), torch.zeros(3, dtype=torch.bool))):
        x.requires_grad_()
        result = quantizer(x, mask)
        (result.loss + result.quantized.sum()).backward()
        assert result.loss.item() == 0
        assert result.ids.shape == x.shape[:-1]
        assert torch.equal(x.grad, torch.zeros_like(x))
    assert_same_bits(list(quantizer.state_dict().values()), list(before.values()))


def test_the_gradient_passes_straight_through_and_the_loss_pulls_to_the_code() -> None:
    quantizer = VectorQuantizer(3, 16, commitment_weight=0.25)
    upstream = vectors(10, 3, seed=5)
    x = vectors(10, 3).requires_grad_()
    (quantizer(x).quantized * upstream).sum().backward()
    assert torch.equal(x.grad, upstream)
    y = vectors(10, 3).requires_grad_()
    result = quantizer.eval()(y)
    result.loss.backward()
    expected = 0.25 * 2 * (y.detach() - result.quantized.detach()) / y.numel()
    assert torch.allclose(y.grad, expected, rtol=1e-6, atol=0)


def test_learnable_codes_get_the_gradient_of_their_part_of_the_loss_alone() -> None:
    quantizer = VectorQuantizer(3, 4, codebook="learnable", beta=0.75, commitment_weight=2.0)
    x = vectors(50, 3).requires_grad_()
    result = quantizer(x)
    (result.loss + (result.quantized**2).sum()).backward()
    chosen = quantizer.codes.detach()[result.ids].requires_grad_()
    loss = 2 * 0.75 * ((x.detach() - chosen) ** 2).mean()
    loss.backward()
    expected = torch.zeros(4, 3).index_add_(0, result.ids, chosen.grad)
    assert torch.allclose(quantizer.codes.grad, expected, rtol=1e-5, atol=1e-7)
    to_x = 2 * 0.25 * 2 * (x.detach() - chosen.detach()) / x.numel() + 2 * chosen.detach()
    assert torch.allclose(x.grad, to_x, rtol=1e-5, atol=1e-6)


# ---- what is learned ---------------------------------------------------------------------------------------


def test_the_moving_average_is_that_of_its_definition() -> None:
    quantizer = VectorQuantizer(3, 5, decay=0.9, epsilon=1e-3)
    x = vectors(40, 3)
    size, sums = quantizer.cluster_size.double().numpy(), quantizer.code_sums.double().numpy()
    ids = quantizer(x).ids.numpy()
    size = (0.9 * size + 0.1 * np.bincount(ids, minlength=5)).astype(np.float32)
    added = np.zeros((5, 3))
    np.add.at(added, ids, x.numpy().astype(np.float64))
    sums = 0.9 * sums + 0.1 * added
    total = size.astype(np.float64).sum()
    codes = sums / ((size + 1e-3) / (total + 5e-3) * total)[:, None]
    np.testing.assert_allclose(quantizer.cluster_size.numpy(), size, rtol=1e-6)
    np.testing.assert_allclose(quantizer.code_sums.numpy(), sums, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(quantizer.codes.numpy(), codes, rtol=1e-5, atol=1e-6)
    assert quantizer.n_updates.item() == 1


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_dead_codes_become_rows_of_the_batch(metric: str) -> None:
    quantizer = VectorQuantizer(4, 30, metric=metric, dead_below=0.5, decay=0.0)
    x = vectors(40, 4)
    used = quantizer(x).ids.unique()
    assert used.numel() < 30
    unused = torch.ones(30, dtype=torch.bool)
    unused[used] = False
    rows = x / x.norm(dim=-1, keepdim=True) if metric == "cosine" else x
    distance = torch.cdist(quantizer.codes[unused], rows, compute_mode="donot_use_mm_for_euclid_dist")
    assert distance.min(dim=1).values.max().item() < 1e-6
    assert quantizer(x).ids.unique().numel() > used.numel()


def test_kmeans_of_the_first_batch_is_that_of_evtok() -> None:
    quantizer = VectorQuantizer(4, 8, codebook="learnable", kmeans_init=True, seed=3)
    x, mask = vectors(200, 4), mask_of(200)
    assert not quantizer.initialised.item()
    quantizer(x, mask)
    expected = evtok.fit_codebook(x[mask].numpy(), 8, seed=3, max_iterations=20)
    assert np.array_equal(quantizer.codes.detach().numpy(), expected.vectors)
    assert quantizer.initialised.item()
    quantizer(vectors(200, 4, seed=8))
    assert np.array_equal(quantizer.codes.detach().numpy(), expected.vectors), "only the first batch decides"
    with pytest.raises(ValueError, match="as many rows as there are codes, 8"):
        VectorQuantizer(4, 8, kmeans_init=True)(x[:5])


def test_eval_mode_learns_nothing() -> None:
    quantizer = VectorQuantizer(4, 8, dead_below=1.0).eval()
    before = copy.deepcopy(quantizer.state_dict())
    quantizer(vectors(50, 4))
    assert_same_bits(list(quantizer.state_dict().values()), list(before.values()))


@pytest.mark.parametrize("kind", KINDS)
def test_p14_training_has_the_same_bits_for_any_number_of_threads(kind: str) -> None:
    before = torch.get_num_threads()
    made = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            made.append(trained(VectorQuantizer(4, 8, **KINDS[kind])))
    finally:
        torch.set_num_threads(before)
    assert_same_bits(made[0], made[1])
    assert_same_bits(made[0], made[2])


@pytest.mark.parametrize("kind", KINDS)
def test_p2_training_has_the_same_bits_on_every_instruction_set(kind: str) -> None:
    made = []
    try:
        for isa in _core.available_isas():
            _core.force_isa(isa)
            made.append(trained(VectorQuantizer(4, 8, **KINDS[kind])))
    finally:
        _core.unforce_isa()
    for other in made[1:]:
        assert_same_bits(other, made[0])


@pytest.mark.parametrize("kind", KINDS)
def test_training_goes_on_from_a_state_dict_with_the_same_bits(kind: str) -> None:
    quantizer = VectorQuantizer(4, 8, **KINDS[kind])
    trained(quantizer, steps=2)
    again = VectorQuantizer(4, 8, **{**KINDS[kind], "seed": 0})
    again.load_state_dict(quantizer.state_dict())
    copied = pickle.loads(pickle.dumps(quantizer))
    expected = trained(quantizer)
    assert_same_bits(trained(again), expected)
    assert_same_bits(trained(copied), expected)


def test_a_seed_decides_the_first_codes_and_they_do_not_move_the_seed_of_torch() -> None:
    torch.manual_seed(5)
    a, b, c = VectorQuantizer(4, 8, seed=1), VectorQuantizer(4, 8, seed=1), VectorQuantizer(4, 8, seed=2)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    assert torch.equal(a.codes, b.codes)
    assert not torch.equal(a.codes, c.codes)


# ---- P23: compiled and exported ----------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # torch's own, while it compiles
@pytest.mark.parametrize("kind", KINDS)
def test_p23_compiled_training_has_the_bits_of_eager_training(kind: str) -> None:
    quantizer = VectorQuantizer(4, 8, **KINDS[kind])
    other = copy.deepcopy(quantizer)
    torch._dynamo.reset()
    compiled = torch.compile(other, fullgraph=True)
    assert_same_bits(trained(other, call=compiled), trained(quantizer))


@pytest.mark.filterwarnings("ignore")  # torch's own, while it compiles
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_p23_compiled_training_replaces_dead_codes_by_rows_that_need_grad(dtype: torch.dtype) -> None:
    quantizer = VectorQuantizer(4, 32, dead_below=0.5)
    other = copy.deepcopy(quantizer)
    torch._dynamo.reset()
    compiled = torch.compile(other, fullgraph=True)
    for step in range(3):
        made = []
        for module, call in ((quantizer, quantizer), (other, compiled)):
            module.cluster_size.zero_()  # 32 codes and 10 rows: most are dead now
            x = vectors(10, 4, seed=step).to(dtype).requires_grad_()  # a leaf, which inductor does not detach
            result = call(x)
            (result.loss + result.quantized.sum()).backward()
            made.append([*result, x.grad, *module.state_dict().values()])
            assert (module.cluster_size == 0.5).sum() >= 5, "codes were replaced"
        assert_same_bits(made[1], made[0])


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_p23_an_exported_module_has_the_bits_of_the_eager_one_for_any_batch(metric: str) -> None:
    quantizer = VectorQuantizer(4, 8, metric=metric).eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(
        quantizer, (vectors(5, 9, 4), mask_of(5, 9)), dynamic_shapes={"x": {0: batch}, "mask": {0: batch}}
    )
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    for module in (program.module(), torch.export.load(file).module()):
        for n in (2, 5, 11):
            x, mask = vectors(n, 9, 4, seed=n), mask_of(n, 9, seed=n)
            assert_same_bits(list(module(x, mask)), list(quantizer(x, mask)))


# ---- dtypes and errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_p16_shorter_dtypes_are_quantized_exactly(dtype: torch.dtype) -> None:
    quantizer = VectorQuantizer(4, 16)
    x = vectors(30, 4).to(dtype).requires_grad_()
    short = copy.deepcopy(quantizer)(x)
    long = quantizer(x.detach().float())
    assert torch.equal(short.ids, long.ids)
    assert short.quantized.dtype == dtype
    assert torch.equal(short.quantized, long.quantized.to(dtype))
    assert torch.equal(short.loss, long.loss)
    (short.quantized.sum() + short.loss).backward()
    assert x.grad.dtype == dtype
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(
            copy.deepcopy(quantizer)(vectors(30, 4)).ids, copy.deepcopy(quantizer)(vectors(30, 4)).ids
        )


def test_p16_dtypes_that_lose_something_are_refused() -> None:
    with pytest.raises(TypeError, match="float64"):
        VectorQuantizer(4, 8)(vectors(3, 4).double())
    with pytest.raises(TypeError, match="float32"):
        VectorQuantizer(4, 8, dtype=torch.float64)(vectors(3, 4))
    assert VectorQuantizer(4, 8).double()(vectors(3, 4).double()).quantized.dtype == torch.float64
    with pytest.raises(TypeError, match=r"moving average in torch\.bfloat16 loses counts"):
        VectorQuantizer(4, 8).bfloat16()(vectors(3, 4).bfloat16())
    assert VectorQuantizer(4, 8).bfloat16().eval()(vectors(3, 4).bfloat16()).quantized.dtype == torch.bfloat16


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_p7_invalid_rows_are_named_or_have_no_code(metric: str, value: float) -> None:
    x = vectors(2, 5, 4)
    x[1, 3, 2] = value
    quantizer = VectorQuantizer(4, 8, metric=metric)
    before = copy.deepcopy(quantizer.state_dict())
    with pytest.raises(ValueError, match=r"row 8 .*\(1, 3\)"):
        quantizer(x)
    assert_same_bits(list(quantizer.state_dict().values()), list(before.values()))
    marked = VectorQuantizer(4, 8, metric=metric, on_invalid="sentinel")
    result = marked(x.requires_grad_())
    assert result.ids[1, 3] == -1
    assert (result.ids >= 0).sum() == 9
    (result.loss + result.quantized.sum()).backward()
    assert result.loss.isfinite()
    assert torch.equal(x.grad[1, 3], torch.zeros(4))
    assert marked.codes.isfinite().all()


def test_p21_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"x: expected shape \(\.\.\., 4\), got \(3, 5\)"):
        VectorQuantizer(4, 8)(vectors(3, 5))
    with pytest.raises(TypeError, match=r"mask: expected bool.*mask.bool\(\)"):
        VectorQuantizer(4, 8)(vectors(3, 4), torch.ones(3))
    with pytest.raises(ValueError, match=r"mask: expected shape \(3,\), got \(4,\)"):
        VectorQuantizer(4, 8)(vectors(3, 4), torch.ones(4, dtype=torch.bool))
    for wrong in (
        {"metric": "dot"}, {"codebook": "fixed"}, {"decay": 1.5}, {"beta": -1.0}, {"on_invalid": "ignore"},
        {"dtype": torch.float16}, {"codebook": "learnable", "metric": "cosine"},
        {"codebook": "learnable", "dead_below": 2.0},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(wrong))):
            VectorQuantizer(4, 8, **wrong)
    for shape in ((0, 8), (4, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            VectorQuantizer(*shape)


# ---- several processes -------------------------------------------------------------------------------------

RANK = """
import sys
import numpy as np, torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from evtok.torch import VectorQuantizer

rank, n_ranks, store, output = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
dist.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=n_ranks)

class Model(torch.nn.Module):
    def __init__(self, **options):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = torch.nn.Linear(4, 4)
        self.quantizer = VectorQuantizer(4, 8, **options)

    def forward(self, x, mask):
        result = self.quantizer(self.encoder(x), mask)
        return result.loss + (result.quantized ** 2).mean()

kinds = ({"dead_below": 1.0}, {"kmeans_init": True}, {"metric": "cosine", "dead_below": 1.0}, {"codebook": "learnable"})
state = {}
for k, options in enumerate(kinds):
    model = DistributedDataParallel(Model(**options))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(4):
        rng = np.random.default_rng(step)
        x = torch.from_numpy(rng.normal(size=(60, 4)).astype(np.float32))[rank::n_ranks]
        mask = torch.ones(len(x), dtype=torch.bool)
        if step == 2 and rank == 0:
            mask[:] = False  # this rank has no rows to offer: no rank may wait for it
        optimizer.zero_grad()
        model(x, mask).backward()
        optimizer.step()
    state |= {f"{k}.{name}": value for name, value in model.module.state_dict().items()}
torch.save(state, output)
dist.destroy_process_group()
"""


def run_ranks(n_ranks: int, folder: Path, code: str = RANK) -> list[dict[str, torch.Tensor]]:
    folder.mkdir()
    program = folder / "rank.py"
    program.write_text(code)
    outputs = [folder / f"rank{rank}.pt" for rank in range(n_ranks)]
    ranks = [
        subprocess.Popen(
            [sys.executable, program, str(rank), str(n_ranks), folder / "store", output],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank, output in enumerate(outputs)
    ]
    try:
        for rank in ranks:
            said, _ = rank.communicate(timeout=120)
            assert rank.returncode == 0, said
    finally:
        for rank in ranks:
            rank.kill()
    return [torch.load(output, weights_only=True) for output in outputs]


def test_p14_ranks_end_with_one_codebook_of_fixed_bits_and_none_waits(tmp_path: Path) -> None:
    first, second = run_ranks(2, tmp_path / "a")
    assert_same_bits(list(first.values()), list(second.values()))
    again, _ = run_ranks(2, tmp_path / "b")
    assert_same_bits(list(first.values()), list(again.values()))
    sizes = first["0.quantizer.cluster_size"].sum().item()
    assert sizes > 8 * 0.8**4 + 0.2 * 30, "a codebook learns from the rows of all ranks"
    assert all(value.isfinite().all() for value in first.values())


TOO_FEW_ROWS = """
import sys
import torch, torch.distributed as dist
from evtok.torch import VectorQuantizer

rank, n_ranks, store, output = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
dist.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=n_ranks)
quantizer = VectorQuantizer(4, 8, kmeans_init=True)
x = torch.randn(5 if rank == 0 else 50, 4)
try:
    quantizer(x)
    said = "nothing"
except Exception as error:
    said = f"{type(error).__name__} {error}"
quantizer(torch.randn(50, 4))  # all ranks are still in step
torch.save({"said": list(said.encode()), "codes": quantizer.codes}, output)
dist.destroy_process_group()
"""


def test_p21_an_error_in_the_kmeans_of_rank_0_reaches_every_rank(tmp_path: Path) -> None:
    first, second = run_ranks(2, tmp_path / "a", TOO_FEW_ROWS)
    said = [bytes(each["said"]).decode() for each in (first, second)]
    assert said[0].startswith("ValueError x: k-means init needs as many rows as there are codes, 8")
    assert said[1].startswith("RuntimeError x: k-means init failed on rank 0")
    assert torch.equal(first["codes"], second["codes"])
