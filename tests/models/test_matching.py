from __future__ import annotations

import torch
from torch import Size

from xvision.models.matching import match

OWN = {
    "stem.weight": Size((8, 3, 3, 3)),
    "bn.weight": Size((8,)),
    "bn.running_mean": Size((8,)),
    "bn.num_batches_tracked": Size(()),
    "fc.weight": Size((5, 8)),
    "fc.bias": Size((5,)),
}
NAMES = [key for key in OWN if "tracked" not in key]


def test_same_names() -> None:
    found = match(OWN, OWN)
    assert found.pairs == {key: key for key in NAMES}
    assert (found.missing, found.unexpected, found.wrong_size, found.rule) == ((), (), (), "")


def test_prefixes_of_wrappers_are_dropped() -> None:
    for prefix in ("module.", "module.model.", "net."):
        found = match(OWN, {prefix + key: shape for key, shape in OWN.items()})
        assert found.pairs == {key: prefix + key for key in NAMES}
        assert found.rule == f"without the prefix '{prefix}'"


def test_a_backbone_beside_other_layers_is_found() -> None:
    given = {f"backbone.{key}": shape for key, shape in OWN.items()} | {"neck.weight": Size((4, 8))}
    found = match(OWN, given)
    assert len(found.pairs) == len(NAMES)
    assert found.unexpected == ("neck.weight",)


def test_missing_extra_and_other_sizes_are_listed() -> None:
    given = {"stem.weight": OWN["stem.weight"], "fc.weight": Size((1000, 8)), "extra": Size((2,))}
    found = match(OWN, given)
    assert found.pairs == {"stem.weight": "stem.weight"}
    assert found.missing == ("bn.weight", "bn.running_mean", "fc.bias")
    assert found.unexpected == ("extra",)
    assert found.wrong_size == ("fc.weight: 1000x8 in the file, 5x8 in the network",)


def renamed(**sizes: Size) -> dict[str, Size]:
    return {f"layer{i}.{key.rpartition('.')[2]}": sizes.get(f"l{i}", OWN[key]) for i, key in enumerate(NAMES)}


def test_other_names_are_matched_in_order() -> None:
    found = match(OWN, renamed())
    assert list(found.pairs) == NAMES
    assert found.rule == "in order, one to one"


def test_in_order_a_network_without_its_classifier_takes_the_first_ones() -> None:
    trunk = {key: shape for key, shape in OWN.items() if not key.startswith("fc")}
    found = match(trunk, renamed())
    assert list(found.pairs) == NAMES[:3]
    assert (found.rule, found.unexpected) == ("in order, the first ones", ("layer3.weight", "layer4.bias"))
    assert match(trunk, renamed(l0=Size((9, 3, 3, 3)))).pairs == {}


def test_in_order_only_the_last_layer_may_differ_in_size() -> None:
    found = match(OWN, renamed(l3=Size((1000, 8)), l4=Size((1000,))))
    assert list(found.pairs) == NAMES[:3]
    assert len(found.wrong_size) == 2
    assert match(OWN, renamed(l0=Size((9, 3, 3, 3)))).pairs == {}


def test_in_order_kinds_must_agree() -> None:
    swapped = renamed()
    swapped = {key.replace("running_mean", "running_var"): shape for key, shape in swapped.items()}
    assert match(OWN, swapped).pairs == {}


def test_an_empty_file_matches_nothing() -> None:
    assert match(OWN, {}).missing == tuple(NAMES)
    assert torch.Size(()) == OWN["bn.num_batches_tracked"]
