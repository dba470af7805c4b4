"""What is said to compute in float, by the network and by the runtime, and how much of the work that is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn

import xvision as xv
from xvision.quant.methods import method
from xvision.quant.schemes import scheme

RANGES_ALONE = method.ptq(rungs="mse")
STEPS, CHANNELS, STATE = 6, 4, 5


class Recurrent(nn.Module):
    """Columns of a map as steps; dropout and identity do nothing in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, CHANNELS, 3)
        self.lstm = nn.LSTM(CHANNELS, STATE, batch_first=True)
        self.last = nn.Sequential(nn.Dropout(), nn.Identity(), nn.Linear(STATE, 2))

    def forward(self, x: Tensor) -> Tensor:
        steps, _ = self.lstm(self.conv(x).mean(2).transpose(1, 2))
        return self.last(steps[:, -1])  # type: ignore[no-any-return]


class Attending(nn.Module):
    """Patches that attend to each other."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 4, 4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.conv(x).flatten(2).transpose(1, 2)
        found: Tensor = tokens + self.attention(tokens, tokens, tokens)[0]
        return found.mean(1)


def quantized(network: nn.Module, images: Tensor) -> fx.GraphModule:
    q = xv.quantize(network.eval(), [images], method=RANGES_ALONE)
    assert isinstance(q, fx.GraphModule)
    return q


@pytest.mark.filterwarnings("ignore:.*fewer than 32", "ignore:.*dB of signal over")
def test_a_recurrent_layer_and_nothing_that_does_nothing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 3, 8, STEPS + 2)
    with pytest.warns(
        UserWarning, match=r"1 operators without a rule .*: lstm \(1\): [\d.]+% of the MACs \(lstm_"
    ):
        q = quantized(Recurrent(), images)
    (found,) = q.meta["float_operators"]
    of_lstm = STEPS * 4 * STATE * (CHANNELS + STATE)
    of_conv, of_linear = 6 * STEPS * CHANNELS * 27, STATE * 2
    assert found.operator == "lstm"
    assert found.macs_ratio == pytest.approx(of_lstm / (of_lstm + of_conv + of_linear))
    parity = xv.verify(q, xv.export(q, tmp_path / "model.onnx"), [images])
    assert parity.ok
    assert parity.float_operators == [f"lstm (lstm_lstm, {found.macs_ratio:.1%} of the MACs)"]


@pytest.mark.filterwarnings(
    "ignore:.*fewer than 32", "ignore:.*compute in float", "ignore:.*dB of signal over"
)
def test_attention_of_torch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 3, 16, 16)
    q = quantized(Attending(), images)
    assert [one.operator for one in q.meta["float_operators"]] == ["softmax"]
    tokens, of_layers = 16, 16 * 8 * (3 * 16 + 3 * 8 + 8)
    macs = {node.name: node.meta["macs"] for node in q.graph.nodes if node.meta.get("macs")}
    of_products = sum(number for name, number in macs.items() if "bmm" in name or "matmul" in name)
    assert of_products / sum(macs.values()) == pytest.approx(
        2 * tokens * tokens * 8 / (2 * tokens * tokens * 8 + of_layers)
    )
    assert xv.verify(q, xv.export(q, tmp_path / "model.onnx"), [images]).max_lsb <= 1


@pytest.mark.parametrize(("bits", "in_float"), [(16, "Conv (1): "), (8, "")])
@pytest.mark.filterwarnings("ignore:.*fewer than 32", "ignore:.*dB of signal over")
def test_the_runtime_computes_an_output_of_16_bits_in_float(bits: int, in_float: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1)
    )
    images = torch.randn(4, 3, 12, 12)
    q = xv.quantize(network, [images], scheme=scheme.pow2(head_bits=bits), method=RANGES_ALONE)
    parity = xv.verify(q, xv.export(q, tmp_path / "model.onnx"), [images])
    assert parity.ok
    assert parity.float_operators == []
    share = 64 * 32 / (100 * 16 * 27 + 64 * (8 * 16 * 9 + 32))
    assert parity.float_in_runtime == (f"{in_float}{share:.1%} of the MACs" if in_float else "")
