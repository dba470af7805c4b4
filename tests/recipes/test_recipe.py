"""Recipes: complete, storable, equal by their YAML; overrides that say everything that is wrong at once."""

from __future__ import annotations

from pathlib import Path

import pytest

import xvision as xv
from xvision.data.dataset import Dataset
from xvision.data.datasets import dataset
from xvision.recipes import recipe as recipes
from xvision.recipes.compose import compose
from xvision.recipes.idle import idle_settings
from xvision.recipes.named import recipe as xv_recipe
from xvision.recipes.overrides import override
from xvision.recipes.schema import Recipe, differing_keys, read_recipe


@pytest.fixture(scope="module")
def base() -> Recipe:
    return xv.recipe("classification")


@pytest.mark.parametrize("name", sorted(recipes.builders()))
def test_every_recipe_survives_yaml(name: str, tmp_path: Path) -> None:
    recipe = xv.recipe(name)
    assert recipe.name == name
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    again = read_recipe(tmp_path / "recipe.yaml")
    assert again == recipe
    assert again.id == recipe.id


def test_the_id_follows_what_decides_the_run(base: Recipe) -> None:
    assert override(base, ["seed=1"]).id != base.id
    assert override(base, ["source=somewhere else"]).id == base.id


def test_values_are_parsed_by_the_type_of_their_field(base: Recipe) -> None:
    recipe = override(
        base,
        [
            "train.optimizer.lr=1e-2",
            "data.size=64x96",
            "data.augment.zoom=0.5,2",
            "train.compile=true",
            "train.threads=1",
        ],
    )
    assert recipe.train.optimizer.settings["lr"] == 0.01
    assert recipe.data.size == (64, 96)
    assert recipe.data.augment.zoom == (0.5, 2.0)
    assert recipe.train.compile is True


def test_parts_are_chosen_before_their_keys_are_set(base: Recipe) -> None:
    recipe = override(base, ["data.root=somewhere", "data=image_folder", "train.optimizer=adamw"])
    assert recipe.data.dataset.name == "image_folder"
    assert recipe.data.dataset["image_folder"].settings["root"] == "somewhere"
    assert recipe.data.size == base.data.size
    assert recipe.train.optimizer.name == "adamw"


def test_a_part_with_its_first_setting(base: Recipe) -> None:
    recipe = override(base, ["net.backbone=timm:mobilenetv2_100"])
    assert recipe.net.backbone.settings["model"] == "mobilenetv2_100"


def test_a_preset_is_a_whole_network(base: Recipe) -> None:
    recipe = override(base, ["net=resnet18_x1", "net.pixels=bgr"])
    assert recipe.net.pixels == "bgr"
    assert "resnet18" in str(recipe.net.backbone.settings["model"])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["train.epoch=3"], r"train.epoch: no such key; did you mean 'train.epochs'\?"),
        (["tarin.epochs=3"], r"did you mean 'train.epochs'\?"),
        (["train.epochs"], "'train.epochs': expected key=value"),
        (["train.epochs=three"], "train.epochs: should be a valid integer.*got 'three'"),
        (["train.epochs=-1"], "train.epochs: should be greater than or equal to 0, got '-1'"),
        (["data=cifar1"], r"data: no dataset is called 'cifar1'; did you mean 'cifar10'\?"),
        (["net=resnet18"], "net: no preset is called 'resnet18'; did you mean"),
        (["train=3"], "train: is a section; set one of its keys"),
        (["train.precision=int8"], "train.precision: should be 'auto', 'fp32', 'bf16' or 'fp16'"),
        (["data.size=64by64"], "data.size: '64by64' is not a size"),
        (["expect=1"], "expect: cannot be set here"),
        (["quant.method=qta"], "quant.method: no method is called 'qta'"),
    ],
)
def test_wrong_overrides(base: Recipe, texts: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        override(base, texts)


def test_all_errors_come_in_one_message(base: Recipe) -> None:
    with pytest.raises(ValueError, match=r"(?s)epocs.*augment\.hflip.*batch_size") as caught:
        override(base, ["train.epocs=1", "data.augment.hflip=2", "train.batch_size=x"])
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["train.lr=1", "train.lr=2"], r"^train\.lr: set twice; train\.lr=2 counts, train\.lr=1 does not$"),
        (
            ["train.optimizer.lr=1", "train.lr=2"],
            r"^train\.optimizer\.lr: set twice; train\.lr=2 counts, train\.optimizer\.lr=1 does not$",
        ),
    ],
)
def test_the_later_of_a_key_named_twice_counts_and_a_line_says_so(
    base: Recipe, texts: list[str], message: str
) -> None:
    with pytest.warns(UserWarning, match=message):
        recipe = override(base, texts)
    assert recipe.train.optimizer.settings["lr"] == 2


def test_the_later_of_two_choices_counts(base: Recipe) -> None:
    with pytest.warns(UserWarning, match=r"^data: set twice; data=camvid counts, data=cifar10 does not$"):
        recipe = override(base, ["data=cifar10", "data.root=here", "data=camvid"])
    assert recipe.places == {"camvid": "here"}


def test_keys_of_a_choice_that_failed_are_not_blamed_too(base: Recipe) -> None:
    """`root` is a setting of the data set that was meant; `sze` is none of any."""
    with pytest.raises(
        ValueError, match=r"data: no dataset is called 'camvd'.*\n.*data\.sze: no such key"
    ) as caught:
        override(base, ["data.root=photos", "data=camvd", "data.sze=3"])
    assert len(str(caught.value).splitlines()) == 2


def test_a_choice_of_numbers_is_set_from_text(base: Recipe) -> None:
    assert override(base, ["quant.head_bits=8"]).quant.scheme.settings["head_bits"] == 8
    with pytest.raises(ValueError, match=r"quant\.head_bits: should be 8 or 16, got '4'"):
        override(base, ["quant.head_bits=4"])


def test_differing_keys_are_named(base: Recipe) -> None:
    other = override(base, ["train.epochs=77", "data.level=easy"])
    assert differing_keys(base, other) == {
        "data.dataset.scenes.level": ("street", "easy"),
        "train.epochs": (base.train.epochs, 77),
    }


def test_a_broken_recipe_file_is_named(tmp_path: Path, base: Recipe) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(base.to_yaml().replace("epochs: ", "epocs: "))
    with pytest.raises(ValueError, match=r"mine.yaml: not a recipe: train.epocs"):
        xv.recipe(str(file))
    file.write_text("name: mine\na: [\n")
    with pytest.raises(
        ValueError, match=r"mine.yaml: cannot be read as YAML \(line 3: expected .*\); fix that line"
    ):
        xv.recipe(str(file))
    with pytest.raises(ValueError, match=r"gone.yaml: cannot be read"):
        xv.recipe(str(tmp_path / "gone.yaml"))


def test_an_unknown_recipe_says_where_to_look() -> None:
    with pytest.raises(
        ValueError, match=r"no recipe is called 'clasification'; did you mean 'classification'\?.*list"
    ):
        xv.recipe("clasification")


# ------------------------------------------------------------------------------------------------ several tasks


@pytest.fixture(scope="module")
def several() -> Recipe:
    return xv.recipe("segmentation+depth")


def test_names_joined_by_plus_are_one_recipe_for_all_their_tasks(several: Recipe, tmp_path: Path) -> None:
    one, other = xv.recipe("segmentation"), xv.recipe("depth")
    assert several.name == several.task.name == "segmentation+depth"
    assert several.task["segmentation"] == one.task["segmentation"]
    assert several.task["depth"] == other.task["depth"]
    assert (several.data, several.train) == (one.data, one.train)
    assert several.net == one.net, "the decoders are the same, so no task needs a head of its own"
    (tmp_path / "recipe.yaml").write_text(several.to_yaml())
    assert read_recipe(tmp_path / "recipe.yaml") == several


def test_data_sets_of_composed_recipes_are_joined() -> None:
    """Each task learns from the data of its own recipe; the same data stays as it is."""
    same = xv.recipe("nyuv2_segmentation+nyuv2_depth")
    assert same.data == xv.recipe("nyuv2_segmentation").data
    both = xv.recipe("camvid_segmentation+nyuv2_depth+davis16_motion")
    assert both.data.dataset.name == "camvid+nyuv2+davis16"
    assert both.data.labels == ("camvid:segmentation", "nyuv2:depth", "davis16:motion")
    assert both.data.size == xv.recipe("camvid_segmentation").data.size
    assert xv.recipe("nyuv2_segmentation+nyuv2_depth+davis16_motion").data.labels == (
        "nyuv2:segmentation", "nyuv2:depth", "davis16:motion",
    )  # fmt: skip
    assert xv.recipe("cifar10_classification+depth").data.labels == ("scenes:depth",)
    own = xv.recipe("camvid_segmentation+nyuv2_depth", "data=auto", "data.root=photos").data
    assert (own.dataset.name, own.labels) == ("auto", ())
    kept = xv.recipe("camvid_segmentation+nyuv2_depth", "data=nyuv2+scenes", "data.labels=scenes:depth").data
    assert kept.labels == ("scenes:depth",)


def test_one_data_set_with_two_settings_is_told() -> None:
    with pytest.warns(
        UserWarning,
        match=r"^demo\+depth: depth has another level, num_train, num_val, size of the data set scenes; taken as in "
        r"the recipe before it$",
    ):
        recipe = xv.recipe("demo+depth")
    assert recipe.data == xv.recipe("demo").data


def test_a_task_whose_decoder_differs_keeps_it(tmp_path: Path) -> None:
    recipe = xv.recipe("segmentation+classification")
    assert {name: part.name for name, part in recipe.net.heads.items()} == {"classification": "classifier"}
    assert recipe.net.decoder.name == "fpn_lite"
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    assert read_recipe(tmp_path / "recipe.yaml") == recipe


def test_composing_composed_recipes_keeps_their_heads() -> None:
    first, last = xv.recipe("segmentation+classification"), xv.recipe("depth", "net.heads.depth=unet_lite")
    heads = compose([first, last]).net.heads
    assert {name: part.name for name, part in heads.items()} == {
        "classification": "classifier", "depth": "unet_lite",
    }  # fmt: skip


def test_one_recipe_composes_to_itself_and_one_task_is_there_once(base: Recipe) -> None:
    assert compose([base]) is base
    with pytest.raises(
        ValueError, match=r"depth\+segmentation\+depth: the task 'depth' is there twice; name each once"
    ):
        xv.recipe("depth+segmentation+depth")
    with pytest.raises(ValueError, match=r"no recipe is called 'dpth'; did you mean 'depth'\?"):
        xv.recipe("segmentation+dpth")


def test_keys_may_leave_out_names_that_one_setting_alone_has(several: Recipe) -> None:
    recipe = override(several, ["task.class_balance=inverse_log", "task.depth.losses=l1", "data.level=easy"])
    assert recipe.task["segmentation"].settings["class_balance"] == "inverse_log"
    assert recipe.task["depth"].settings["losses"] == {"l1": {"weight": 1.0}}
    assert recipe.task["segmentation"].settings["losses"] == several.task["segmentation"].settings["losses"]
    assert recipe.data.dataset["scenes"].settings["level"] == "easy"


def test_a_task_gets_a_decoder_of_its_own_and_then_its_keys(several: Recipe) -> None:
    texts = ["net.heads.depth.width=0.25", "net.heads.depth=unet_lite", "net.decoder.width=0.75"]
    recipe = override(several, texts)
    assert recipe.net.heads["depth"].name == "unet_lite"
    assert recipe.net.heads["depth"].settings["width"] == 0.25
    assert recipe.net.decoder.settings["width"] == 0.75
    kept = override(recipe, ["net=fpn_aspp_mobilenetv2_tv_edgeailite", "net.shared_decoder=true"])
    assert kept.net.heads == recipe.net.heads
    assert kept.net.shared_decoder


def test_tasks_and_data_sets_are_chosen_by_names_joined_by_plus(base: Recipe) -> None:
    recipe = override(
        base,
        [
            "task=segmentation+depth",
            "data=camvid+nyuv2",
            "data.camvid.root=a",
            "data.dataset.nyuv2.root=b",
            "data.labels=camvid:segmentation,nyuv2:depth",
            "data.sampling=equal",
        ],
    )
    assert recipe.task.name == "segmentation+depth"
    assert recipe.data.dataset.name == "camvid+nyuv2"
    assert [part.settings["root"] for part in recipe.data.dataset] == ["a", "b"]
    assert recipe.data.labels == ("camvid:segmentation", "nyuv2:depth")
    assert Recipe.model_validate(recipe.to_dict()) == recipe


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["task.losses=l1"], r"task.losses: means several settings: task.segmentation.losses or task.depth.losses"),
        (["task.losess=l1"], r"task.losess: no such key; did you mean 'task.losses'\?"),
        (["task.motion.losses=l1"], r"task.motion.losses: no such key"),
        (["task.segmentation=depth"], r"task.segmentation: no such key"),
        (["task=segmentation+dpth"], r"task: no task is called 'dpth'; did you mean 'depth'\?"),
        (["task=depth+depth"], r"task: the task 'depth' is named twice; name each once"),
        (["data=scenes+scenes"], r"data: the dataset 'scenes' is named twice"),
        (["net.heads.depth=unet"], r"net.heads.depth: .*no decoder is called 'unet'; did you mean 'unet_lite'\?"),
        (["net.heads.depth.width=1"], r"net.heads.depth.width: no such key"),
        (["data.sampling=some"], r"data.sampling: should be 'all' or 'equal', got 'some'"),
        (["train.balancing=gradnrm"], r"no balancing is called 'gradnrm'; did you mean 'gradnorm'\?"),
        (["train.balancing=gradnorm", "train.lr=1"], r"train.lr: means several settings: train.optimizer.lr or"),
    ],
)  # fmt: skip
def test_wrong_overrides_of_several_tasks(several: Recipe, texts: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        override(several, texts)


def test_a_setting_of_another_part_is_told(base: Recipe) -> None:
    with pytest.raises(
        ValueError, match=r"data\.root: no such key; the dataset scenes has none, .* have; choose another"
    ):
        override(xv_recipe("segmentation"), ["data.root=photos"])
    with pytest.raises(
        ValueError, match="the balancing pcgrad has none, fixed have; choose another balancing"
    ):
        override(base, ["train.balancing=pcgrad", "train.balancing.weights=depth:0.5"])


def test_minutes_without_a_training_change_nothing() -> None:
    texts = ["train.minutes=5", "train.epochs=0"]
    assert idle_settings(xv_recipe("classification", *texts)) == [
        "train.minutes=5.0 changes nothing: train.epochs=0 trains nothing"
    ]
    assert idle_settings(xv_recipe("classification", texts[0])) == []


def test_settings_that_change_nothing_are_told() -> None:
    assert idle_settings(xv_recipe("segmentation+depth+motion", "net.shared_decoder=true")) == []
    texts = [
        "train.balancing=gradnorm",
        "net.shared_decoder=true",
        "data.sampling=equal",
        "data.flow=farneback",
    ]
    assert idle_settings(xv_recipe("segmentation", *texts)) == [
        "train.balancing=gradnorm changes nothing: there is one task",
        "net.shared_decoder=true changes nothing: one task uses it",
        "data.sampling=equal changes nothing: there is one data set",
        "data.flow=farneback changes nothing: the network takes no flow",
    ]
    plain = ["net.decoder=fpn_lite", "net.decoder.aspp=false"]
    assert idle_settings(xv_recipe("segmentation", *plain)) == []
    assert idle_settings(xv_recipe("segmentation", *plain, "net.decoder.dilations=2,4,6")) == [
        "net.decoder.dilations=2,4,6 changes nothing: the decoder has no ASPP"
    ]
    assert idle_settings(xv_recipe("segmentation", "train.balancing.weights=segmentation:2")) == []


def test_where_data_lies_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "_own", {})

    @dataset
    def nowhere() -> Dataset:
        """A data set of somebody's own, without a setting."""
        raise NotImplementedError

    here, there = (xv_recipe("classification", "data=image_folder", f"data.root={root}") for root in "ab")
    assert here.places == {"image_folder": "a"}
    assert here.deciding() == there.deciding()
    assert (
        here.deciding() != xv_recipe("classification", "data=image_folder", "data.val_ratio=0.3").deciding()
    )
    assert xv_recipe("classification", "data=nowhere").deciding()["data"]["dataset"] == "nowhere"
    both = xv_recipe("classification", "data=nowhere+image_folder", "data.image_folder.root=a")
    assert both.deciding()["data"]["dataset"]["image_folder"]["root"] == ""
