"""What several tests share: small folders of images, and a cache of their own."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from xvision.train.allocator import keep_memory

keep_memory()
# Networks here are tiny: a second thread mostly waits, and on a shared machine it waits by spinning.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def no_garbage_collection() -> Iterator[None]:
    """It takes a third of the time of an export, whose many objects stay in use until its end."""
    gc.disable()
    yield
    gc.enable()
    gc.collect()


SWEEPS = {
    "export/test_decoders.py::test_a_decoder_is_exact",
    "export/test_onnx.py::test_onnx_runtime_fuses_into_integer_convolutions",
    "export/test_streams.py::test_two_streams_are_exact",
    "models/test_presets.py::test_every_preset_builds_trains_and_traces",
    "models/test_presets.py::test_every_preset_for_maps_gives_one_as_large_as_the_image",
    "models/test_streams.py::test_streams_are_joined_at_a_quarter_of_the_resolution",
    "models/test_streams.py::test_two_streams_train_and_trace",
    "pipeline/test_run.py::test_a_changed_file_is_refused_and_not_overwritten",
    "quant/test_schemes.py::test_the_runtime_is_within_the_tolerance_of_the_scheme",
}
"""Tests over many networks or stages: `make test` runs the first case of each, `make test-all` every one."""

LONG = {
    "benchmarks/test_device.py::test_rows_of_a_device",
    "export/test_decoders.py::test_maps_and_pyramids_of_one_decoder_are_exact_each_with_a_scale_of_its_own",
    "export/test_heads.py::test_several_tasks_are_exact",
    "export/test_second_format.py::test_a_format_that_computes_something_else_fails_verification",
    "export/test_second_format.py::test_both_files_are_there_and_in_the_record",
    "export/test_second_format.py::test_its_file_can_be_measured_and_used",
    "export/test_second_format.py::test_the_command_line_knows_it",
    "export/test_second_format.py::test_the_report_has_a_column_for_it",
    "export/test_streams.py::test_a_float_network_of_two_streams_is_exported_too",
    "models/test_streams.py::test_published_weights_fill_the_stems_of_both_streams",
    "predict/test_own_network.py::test_the_page_works",
    "pipeline/test_dense_run.py::test_a_map_task_goes_from_scenes_to_a_verified_file",
    "pipeline/test_dense_run.py::test_a_warning_of_the_data_stands_in_record_report_and_last_lines",
    "pipeline/test_dense_run.py::test_ids_of_cut_images_in_the_file",
    "pipeline/test_exported_file.py::test_it_does_with_other_settings_too",
    "pipeline/test_framing_run.py::test_predictions_in_files_score_as_the_network_that_wrote_them",
    "pipeline/test_kills.py::test_a_killed_run_ends_as_if_there_had_been_no_kill",
    "pipeline/test_failures.py::test_a_failing_stage_leaves_the_run_as_it_was",
    "pipeline/test_framing_run.py::test_a_map_of_the_file_lies_where_its_metadata_says",
    "pipeline/test_multi_run.py::test_several_tasks_go_from_scenes_to_a_verified_file",
    "pipeline/test_new_task.py::test_a_new_task_with_a_map_needs_no_other_file",
    "pipeline/test_multi_run.py::test_two_data_sets_with_different_labels",
    "pipeline/test_processes.py::test_the_command_in_two_processes",
    "pipeline/test_quantizations.py::test_a_run_of_several_executes_what_changed",
    "pipeline/test_quantizations.py::test_a_second_quantization_that_fails_leaves_the_first",
    "pipeline/test_quantize_run.py::test_a_scheme_with_free_scales_and_a_method_that_trains",
    "pipeline/test_run.py::test_an_edited_image_executes_everything",
    "pipeline/test_sensitivity_run.py::test_a_method_that_moves_scales_is_asked_for_the_network_in_which_it_did",
    "pipeline/test_sensitivity_run.py::test_a_plan_is_written_shown_and_used",
    "pipeline/test_sensitivity_run.py::test_another_quantization_has_none",
    "pipeline/test_sensitivity_run.py::test_it_is_measured_once",
    "pipeline/test_run.py::test_scenes_need_no_files",
    "pipeline/test_run.py::test_zero_epochs_take_the_weights_as_they_are",
    "pipeline/test_two_outputs.py::test_boxes_reach_the_task_moved_with_the_image",
    "pipeline/test_two_outputs.py::test_it_goes_from_scenes_to_an_exact_file",
    "pipeline/test_two_outputs.py::test_one_decoder_gives_all_its_tensors",
    "pipeline/test_two_outputs.py::test_the_loss_fell",
    "test_cli.py::test_the_pipeline_opens_no_socket",
}
"""Single tests of whole runs, each longer than 15 s of a processor: in `make test-all` alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    seen = set()
    for item in items:
        name = item.nodeid.removeprefix("tests/").partition("[")[0]
        if name in LONG or (name in SWEEPS and name in seen):
            item.add_marker(pytest.mark.sweep)
        seen.add(name)
    if (
        len({item.path.parent for item in items}) > 12
    ):  # a whole suite: a name that is gone would mark nothing
        assert seen >= SWEEPS | LONG, f"tests/conftest.py names tests that are gone: {(SWEEPS | LONG) - seen}"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither read nor fill the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XVISION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def write_images(root: Path, num_train: int = 12, num_val: int = 6) -> Path:
    """Two classes that a network can tell apart: mostly red and mostly blue pictures, 40x48."""
    rng = np.random.default_rng(0)
    for split, num in (("train", num_train), ("val", num_val)):
        for name, channel in (("blue", 0), ("red", 2)):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(num):
                image = rng.integers(0, 90, (40, 48, 3), dtype=np.uint8)
                image[..., channel] += 150
                assert cv2.imwrite(str(folder / f"{i:02}.png"), image)
    return root


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    return write_images(tmp_path / "colours")
