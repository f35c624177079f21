"""Codebooks of vector-quantize-pytorch and vqtorch give their tokens in `evtok.torch.VectorQuantizer`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import evtok  # noqa: E402
from evtok.torch import VectorQuantizer, convert_state_dict  # noqa: E402


def vectors(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def lucidrains_state(n_codes: int = 16, dim: int = 4, prefix: str = "") -> dict[str, torch.Tensor]:
    codes = vectors(1, n_codes, dim)
    sizes = vectors(1, n_codes, seed=1).abs() + 1
    state = {
        "initted": torch.tensor(True), "cluster_size": sizes, "embed_avg": codes * sizes[..., None], "embed": codes,
    }  # fmt: skip
    return {f"{prefix}_codebook.{name}": value for name, value in state.items()}


# ---- vector-quantize-pytorch, by its names -----------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "encoder.vq."])
def test_a_lucidrains_codebook_is_taken_whole(prefix: str) -> None:
    state = {**lucidrains_state(prefix=prefix), "decoder.weight": torch.ones(2)}
    quantizer = VectorQuantizer.from_state_dict(state, prefix=prefix, decay=0.9)
    assert quantizer.decay == 0.9
    for name, theirs in (("codes", "embed"), ("cluster_size", "cluster_size"), ("code_sums", "embed_avg")):
        assert torch.equal(getattr(quantizer, name), state[f"{prefix}_codebook.{theirs}"][0])
    assert quantizer.initialised.item()


def test_a_whole_model_loads_its_old_checkpoint() -> None:
    def model() -> torch.nn.Module:
        return torch.nn.ModuleDict({"head": torch.nn.Linear(4, 4), "vq": VectorQuantizer(4, 16)})

    old = {**lucidrains_state(prefix="vq."), "head.weight": vectors(4, 4), "head.bias": vectors(4)}
    new = model()
    new.load_state_dict(convert_state_dict(old), strict=True)
    assert new["vq"].n_updates.item() == 0
    assert torch.equal(new["vq"].codes, old["vq._codebook.embed"][0])
    again = model()
    again.load_state_dict(convert_state_dict(new.state_dict()))  # what is converted already stays as it is
    assert torch.equal(again["vq"].codes, new["vq"].codes)


def test_the_codebook_of_a_layer_may_come_alone_or_in_half_precision() -> None:
    alone = {key.removeprefix("_codebook."): value for key, value in lucidrains_state().items()}
    assert torch.equal(VectorQuantizer.from_state_dict(alone).codes, alone["embed"][0])
    half = {key: value.half() if value.is_floating_point() else value for key, value in alone.items()}
    quantizer = VectorQuantizer.from_state_dict(half)
    assert quantizer.codes.dtype == torch.float32
    assert torch.equal(quantizer.codes, half["embed"][0].float())


def test_p8_what_cannot_be_reproduced_is_refused() -> None:
    state = lucidrains_state()
    heads = {**state, "_codebook.embed": vectors(2, 16, 4)}
    with pytest.raises(ValueError, match="2 codebooks, one for each head"):
        convert_state_dict(heads)
    for part in ("project_in.weight", "project_out.bias", "_codebook.vq_bridge.weight"):
        with pytest.raises(ValueError, match=f"state: '{part}' belongs to a part"):
            convert_state_dict({**state, part: torch.ones(1)})
    with pytest.raises(ValueError, match="waits for its k-means"):
        convert_state_dict({**state, "_codebook.initted": torch.tensor(False)})
    with pytest.raises(ValueError, match=r"no codebook under the prefix ''; those with one are \['vq\.'\]"):
        VectorQuantizer.from_state_dict(lucidrains_state(prefix="vq."))


# ---- vqtorch -----------------------------------------------------------------------------------------------


def vqtorch_ids(x: torch.Tensor, weight: torch.Tensor, scale: Any, bias: Any, affine_lr: float) -> Any:
    """What its `VectorQuant` computes, in float64: nearest to (1 + affine_lr scale) C + affine_lr bias."""
    codes = (1 + affine_lr * scale.double()) * weight.double() + affine_lr * bias.double()
    distances = ((x.double()[:, None] - codes) ** 2).sum(-1)
    two = distances.topk(2, largest=False).values
    return distances.argmin(1), two[:, 1] - two[:, 0] > 1e-4, codes


@pytest.mark.parametrize("prefix", ["", "vqlayer."])
def test_a_vqtorch_codebook_has_its_affine_applied(prefix: str) -> None:
    weight, scale, bias = vectors(64, 4), 0.3 * vectors(1, 4, seed=1), vectors(1, 4, seed=2)
    state = {
        f"{prefix}codebook.weight": weight,
        f"{prefix}affine_transform.scale": scale,
        f"{prefix}affine_transform.bias": bias,
        f"{prefix}_counts": torch.ones(64),
    }
    with pytest.raises(ValueError, match="affine_lr"):
        convert_state_dict(state)
    quantizer = VectorQuantizer.from_state_dict(
        state, prefix=prefix, affine_lr=2.0, codebook="learnable"
    ).eval()
    x = vectors(3000, 4, seed=3)
    expected, clear, codes = vqtorch_ids(x, weight, scale, bias, 2.0)
    assert clear.float().mean() > 0.99
    result = quantizer(x)
    assert torch.equal(result.ids[clear], expected[clear])
    assert torch.allclose(quantizer.codes.double(), codes, rtol=1e-6, atol=1e-6)
    without, _, _ = vqtorch_ids(x, weight, 0 * scale, 0 * bias, 2.0)
    assert (without != expected).float().mean() > 0.5, "the affine decides these tokens"
    assert torch.equal(quantizer.to_codebook().nearest(x).long(), result.ids)
    affine = evtok.Codebook(
        weight.numpy(), affine=(1 + 2 * scale[0].double().numpy(), 2 * bias[0].double().numpy())
    )
    assert torch.equal(affine.nearest(x)[clear].long(), result.ids[clear])


def test_a_plain_vqtorch_codebook_and_one_with_groups_of_affines() -> None:
    weight = vectors(6, 3)
    assert torch.equal(VectorQuantizer.from_state_dict({"codebook.weight": weight}).codes, weight)
    VectorQuantizer(3, 6).load_state_dict(convert_state_dict({"codebook.weight": weight}), strict=True)
    state = {
        "codebook.weight": weight,
        "affine_transform.scale": torch.tensor([[1.0, 1, 1], [3, 3, 3]]),
        "affine_transform.bias": torch.zeros(2, 3),
    }
    codes = VectorQuantizer.from_state_dict(state, affine_lr=1.0).codes
    assert torch.equal(codes, weight * torch.tensor([2.0, 2, 2, 4, 4, 4])[:, None])
    with pytest.raises(ValueError, match=r"'norm_layer\.weight' belongs to a part"):
        convert_state_dict({**state, "norm_layer.weight": torch.ones(3)}, affine_lr=1.0)


def test_running_statistics_of_a_vqtorch_affine() -> None:
    weight = vectors(10, 3)
    statistics = {
        "running_ze_mean": vectors(1, 3, seed=1), "running_ze_var": vectors(1, 3, seed=2).abs(),
        "running_c_mean": vectors(1, 3, seed=3), "running_c_var": vectors(1, 3, seed=4).abs() + 0.1,
    }  # fmt: skip
    state = {"codebook.weight": weight, **{f"affine_transform.{k}": v for k, v in statistics.items()}}
    state["affine_transform.running_statistics_initialized"] = torch.ones(1)
    scale = (statistics["running_ze_var"] / statistics["running_c_var"]).sqrt()
    expected = (weight - statistics["running_c_mean"]) * scale + statistics["running_ze_mean"]
    assert torch.allclose(VectorQuantizer.from_state_dict(state).codes, expected, rtol=1e-5, atol=1e-5)


# ---- beside the installed peer -----------------------------------------------------------------------------


def lucidrains(**options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip("vector_quantize_pytorch")
    torch.manual_seed(0)
    plain = {"rotation_trick": False, "threshold_ema_dead_code": 0, **options}
    return package.VectorQuantize(dim=4, codebook_size=32, **plain)


def clear_rows(x: torch.Tensor, codes: torch.Tensor, metric: str) -> torch.Tensor:
    """The rows whose nearest code is beyond the errors of the peer's expansion of squares in float32."""
    margin = evtok.nearest(x, codes, metric=metric, return_margin=True)[1]
    size = (x.norm(dim=-1) + codes.norm(dim=-1).max()) ** 2
    return margin > 8 * (x.shape[-1] + 2) * 2**-24 * size


@pytest.mark.peers
@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_p6_ids_and_training_are_those_of_vector_quantize_pytorch(metric: str) -> None:
    theirs = lucidrains(use_cosine_sim=metric == "cosine", commitment_weight=0.5)
    with torch.no_grad():  # their first codes are tiny; take some that lie among the vectors
        codes = vectors(1, 32, 4, seed=50)
        codes = codes / codes.norm(dim=-1, keepdim=True) if metric == "cosine" else codes
        theirs._codebook.embed.copy_(codes)
        theirs._codebook.embed_avg.copy_(codes)
    ours = VectorQuantizer.from_state_dict(theirs.state_dict(), metric=metric, commitment_weight=0.5)
    for step in range(5):
        x = vectors(4, 50, 4, seed=step)
        clear = clear_rows(x, ours.codes, metric)
        assert clear.float().mean() > 0.9
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        quantized, ids, loss = theirs(a)
        result = ours(b)
        assert torch.equal(result.ids[clear], ids[clear])
        if not bool((result.ids == ids).all()):
            pytest.fail("a row on the edge: choose other numbers, so that both learn from the same rows")
        torch.testing.assert_close(result.quantized, quantized, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(result.loss, loss.reshape(()), rtol=1e-4, atol=1e-6)
        (quantized.sum() + loss.sum()).backward()
        (result.quantized.sum() + result.loss).backward()
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.codes, theirs._codebook.embed[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.cluster_size, theirs._codebook.cluster_size[0], rtol=1e-5, atol=1e-6)


@pytest.mark.peers
def test_p6_masks_are_those_of_vector_quantize_pytorch() -> None:
    theirs = lucidrains()
    ours = VectorQuantizer.from_state_dict(theirs.state_dict())
    x = 0.1 * vectors(4, 50, 4)
    mask = torch.arange(50) < torch.tensor([50, 20, 1, 7])[:, None]
    quantized, _, loss = theirs(x, mask=mask)
    result = ours(x, mask)
    torch.testing.assert_close(result.quantized, quantized, rtol=1e-4, atol=1e-5)  # zeros where masked
    torch.testing.assert_close(result.loss, loss.reshape(()), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(ours.cluster_size, theirs._codebook.cluster_size[0])


@pytest.mark.peers
def test_p6_an_affine_of_vector_quantize_pytorch_is_applied() -> None:
    theirs = lucidrains(affine_param=True)
    for step in range(3):
        theirs(2 + 3 * vectors(4, 50, 4, seed=step))
    theirs.eval()
    x = 2 + 3 * vectors(4, 500, 4, seed=9)
    quantized, ids, _ = theirs(x)  # moves their statistics before it looks up, in eval mode too
    ours = VectorQuantizer.from_state_dict(theirs.state_dict()).eval()
    clear = clear_rows(x, ours.codes, "l2")
    assert clear.float().mean() > 0.9
    assert torch.equal(ours(x).ids[clear], ids[clear])
    torch.testing.assert_close(ours(x).quantized[clear], quantized[clear], rtol=1e-4, atol=1e-4)
