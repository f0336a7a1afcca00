"""Configs: what is right loads, what is wrong is named, and nothing is lost.

Faults tried, and the test that caught each:
- unknown keys ignored (extra="ignore") -> test_a_slip_of_the_pen_is_named
- nearest by the whole dotted key alone -> test_a_setting_without_its_section_is_found
- nearest returns the least alike (min for max) -> test_a_slip_of_the_pen_is_named
- not strict: text taken for numbers -> test_wrong_values_are_named_in_one_line
- not a number and infinity let through -> test_wrong_values_are_named_in_one_line
- sub-tables written before plain values -> test_tables_survive_toml
- non-ASCII text as JSON's surrogate pairs -> test_tables_survive_toml
- DEL left raw in a text -> test_tables_survive_toml
- override replaces its section -> test_an_override_changes_one_setting
- a bare word refused -> test_an_override_changes_one_setting
- None written as "null" -> test_presets_load_build_and_survive_toml
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.training.config import (
    ConfigError,
    RunConfig,
    config_to_toml,
    load_config,
    preset_names,
    setting_names,
)
from maskrcnn_scratch.training.toml import nearest, override, to_toml

PRESETS = ["balloon", "coco-r50-fpn", "nuclei", "people", "shapes", "shapes-tiny"]


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    path = tmp_path / "empty.toml"
    path.write_text("")
    return path


def test_all_presets_are_packaged() -> None:
    assert preset_names() == PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_presets_load_build_and_survive_toml(name: str, tmp_path: Path) -> None:
    config = load_config(name)
    assert MaskRCNN(config.model).config == config.model
    path = tmp_path / "again.toml"
    path.write_text(config_to_toml(config), encoding="utf-8")
    assert load_config(path) == config


def test_an_empty_file_is_the_paper(empty: Path) -> None:
    config = load_config(empty)
    assert config == RunConfig()
    assert (config.train.iterations, config.train.steps) == (160_000, (120_000,))
    assert (config.train.learning_rate, config.train.weight_decay) == (0.02, 1e-4)
    assert config.data.transform.min_sizes == (800,)


values = st.one_of(
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.lists(st.integers(-9, 9), max_size=3),
)
names = st.from_regex(r"[a-z_]{1,6}", fullmatch=True)
tables = st.dictionaries(
    names, values | st.dictionaries(names, values, max_size=3), max_size=4
)


@given(tables)
@example({"path": "\x7f \x00 \n \N{BALLOON} é"})
def test_tables_survive_toml(table: dict[str, object]) -> None:
    assert tomllib.loads(to_toml(table)) == {
        key: value for key, value in table.items() if value != {}
    }


@given(st.sampled_from(setting_names()), st.data())
def test_a_slip_of_the_pen_is_named(name: str, data: st.DataObject) -> None:
    """A key with one letter dropped, doubled or swapped names itself and its origin."""
    section, _, key = name.rpartition(".")
    at = data.draw(st.integers(0, len(key) - 2))
    slips = {
        key[:at] + key[at + 1 :],
        key[:at] + key[at] + key[at:],
        key[:at] + key[at + 1] + key[at] + key[at + 2 :],
    }
    wrong = f"{section}.{data.draw(st.sampled_from(sorted(slips)))}".lstrip(".")
    if wrong in setting_names():
        return
    with pytest.raises(ConfigError) as caught:
        load_config("shapes-tiny", [f"{wrong}=1"])
    # A section misspelt may be as near to a setting of a like name.
    expected = nearest(wrong, setting_names())
    assert f"unknown setting {wrong}; the nearest is {expected}" in str(caught.value)
    if len(key) > 5:
        assert expected == name


def test_a_setting_without_its_section_is_found() -> None:
    with pytest.raises(ConfigError, match=r"lerning_rate; .* train\.learning_rate$"):
        load_config("nuclei", ["lerning_rate=1"])
    with pytest.raises(ConfigError, match=r"fpn_chanels; .* model\.fpn_channels$"):
        load_config("nuclei", ["train.fpn_chanels=1"])
    assert nearest("crp", setting_names()) == "data.transform.crop"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.iterations=many", 'train.iterations .*integer, not "many"'),
        ('train.iterations="5"', 'train.iterations .*integer, not "5"'),
        ("train.iterations=1.5", r"train.iterations .*integer, not 1\.5"),
        ("train.iterations=0", "train.iterations .*than or equal to 1, not 0"),
        ("train.momentum=true", "train.momentum .*number, not true"),
        ("train.momentum=1", "train.momentum should be less than 1, not 1"),
        ("train.learning_rate=nan", "train.learning_rate .*finite number"),
        ("train.learning_rate=inf", "train.learning_rate .*finite number"),
        ("train.schedule=linear", "train.schedule should be 'steps' or 'cosine'"),
        ("train.steps=[0]", "train.steps .*equal to 1, not 0"),
        (
            "train.precision=2020-01-01",
            "train.precision should be 'float32', 'bf16' or 'fp16'",
        ),
        ("train.accumulate=3", "batch_size is 4, which accumulate = 3 does not divide"),
        ("train.ema=1", "train.ema .*less than 1, not 1"),
        ("data.cache=1", "data.cache .*boolean, not 1"),
        ("data.transform.crop=large", 'crop .*integer, not "large"'),
        ("model.depth=20", "model.depth should be 16, 18, 34, 50 or 101, not 20"),
        ("model.fpn_channels=0", "model: fpn_channels must be at least 1, not 0"),
        ("model.rpn_box_beta=nan", "model.rpn_box_beta .*finite number"),
        ("model.pixel_std=[1, 2]", r"pixel_std has too few values: \[1, 2\]"),
        ("model.pixel_std=[1, 2, 3, 4]", "pixel_std .*at most 3 items"),
        ("model.anchor_sizes=[1, 2]", "anchor_sizes names 2 sizes for 5 anchor_levels"),
        ("data.transform.crop=0", "data.transform: crop is 0; expected 1 or more"),
        ("data.transform.vertical_flip=1.5", "transform: vertical_flip is 1.5; exp"),
        ("model.image_long=0", "model: image_long must be at least 1, not 0"),
        ("evaluate.mask_threshold=1", "evaluate: mask_threshold is 1.0; expected"),
        ("model=3", "model should be an object, not 3"),
        ("train.iterations.x=1", r"train\.iterations\.x: iterations is a value"),
        ("iterations", "'iterations' is no setting; expected KEY=VALUE"),
        ("=3", "'=3' is no setting; expected KEY=VALUE"),
    ],
)
def test_wrong_values_are_named_in_one_line(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config("shapes-tiny", [setting])
    text = str(caught.value)
    assert text.startswith("shapes-tiny: ")
    assert "\n" not in text


def test_a_file_that_is_no_toml_is_named(empty: Path) -> None:
    empty.write_text("[train]\niterations =\nseed = 1\n")
    with pytest.raises(ConfigError, match=r"empty\.toml: no valid TOML: .*line 2"):
        load_config(empty)


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'nucleus': no such.*did you mean nuclei\?"):
        load_config("nucleus")


def test_an_override_changes_one_setting() -> None:
    plain = load_config("nuclei")
    config = load_config(
        "nuclei", ["train.schedule=steps", "train.steps=[5, 7]", "model.nms_iou = 1"]
    )
    assert config.train.schedule == "steps"
    assert config.train.steps == (5, 7)
    assert config.model.nms_iou == 1.0
    back = {"schedule": plain.train.schedule, "steps": plain.train.steps}
    assert config.train.model_copy(update=back) == plain.train
    assert config.data == plain.data


def test_overrides_make_the_sections_they_need() -> None:
    settings: dict[str, object] = {}
    override(settings, "data.transform.crop=96")
    override(settings, "data.cache=true")
    override(settings, "train.initial_weights=runs/a=b/model.safetensors")
    assert settings == {
        "data": {"transform": {"crop": 96}, "cache": True},
        "train": {"initial_weights": "runs/a=b/model.safetensors"},
    }
