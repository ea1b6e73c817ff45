"""Values for a bundle's configs."""

import json

import pytest

from monai_attn.training.overrides import override, parse_settings, read_plan

CONFIG = {
    "epochs": 100,
    "spacing": [2, 2, 2],
    "network_def": {"_target_": "Net", "channels": [8, 16]},
    "plain": {"kept": 1},
    "handlers": [{"_target_": "Handler", "interval": 1}],
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("epochs=5", {"epochs": 5}),
        ("spacing=[1, 1.5, 3]", {"spacing": [1, 1.5, 3]}),
        ("network_def#gate=null", {"network_def#gate": None}),
        ("network_def#norm=instance", {"network_def#norm": "instance"}),
        ("cache_dir=/data/a=b", {"cache_dir": "/data/a=b"}),
    ],
)
def test_a_value_is_json_or_else_a_text(text, expected):
    assert parse_settings([text]) == expected


@pytest.mark.parametrize("text", ["epochs", "=5", "epochs="])
def test_an_id_and_a_value_are_needed(text):
    with pytest.raises(ValueError, match=f"setting {text}: no id or no value"):
        parse_settings([text])


@pytest.mark.parametrize(
    "value",
    ["$print(1)", "@epochs", "%other.json", '{"_target_": "os.system"}', '[{"a": "$1"}]'],
)
def test_code_is_refused(value, tmp_path):
    with pytest.raises(ValueError, match="expected plain values"):
        parse_settings([f"network_def={value}"])
    if value[0] in "[{":
        plan = tmp_path / "plan.json"
        plan.write_text(f'{{"network_def": {value}}}')
        with pytest.raises(ValueError, match=r"plan\.json: network_def: .*expected plain values"):
            read_plan(plan)


@pytest.mark.parametrize("key", ["cases", "training"])
def test_scores_and_lists_of_scans_are_no_plan(key, tmp_path):
    path = tmp_path / "scores.json"
    path.write_text(f'{{"{key}": []}}')
    with pytest.raises(ValueError, match=r"scores\.json: no plan .*Give a file that holds a plan"):
        read_plan(path)


def test_a_plan_has_values_and_remarks(tmp_path):
    plan = tmp_path / "plan.json"
    plan.write_text('{"spacing": [1, 1, 1], "reasons": {"spacing": "why"}, "fingerprint": {}}')
    assert read_plan(plan) == ({"spacing": [1, 1, 1]}, ())


def test_the_labels_of_a_plan_stand_for_what_follows_from_them(tmp_path):
    plan = tmp_path / "plan.json"
    classes = {"num_classes": 3, "label_map": {"7": 1, "9": 2}}
    plan.write_text(json.dumps({"spacing": [1, 1, 1], **classes, "labels": ["7=a", "9=b"]}))
    assert read_plan(plan) == ({"spacing": [1, 1, 1]}, ("7=a", "9=b"))
    plan.write_text(json.dumps(classes))
    assert read_plan(plan) == (classes, ())


@pytest.mark.parametrize("text", ["no json", "[1]", '{"labels": "7=a"}', '{"labels": [7]}', None])
def test_what_is_no_plan_is_named(tmp_path, text):
    plan = tmp_path / "plan.json"
    if text is not None:
        plan.write_text(text)
    with pytest.raises(ValueError, match=r"plan\.json: "):
        read_plan(plan)


@pytest.mark.parametrize(
    ("name", "look"),
    [
        ("epochs", lambda c: c["epochs"]),
        ("network_def#channels", lambda c: c["network_def"]["channels"]),
        ("network_def#gate", lambda c: c["network_def"]["gate"]),  # an argument at its default
        ("handlers#0#interval", lambda c: c["handlers"][0]["interval"]),
        ("spacing#2", lambda c: c["spacing"][2]),
    ],
)
def test_a_value_goes_where_its_id_points(name, look):
    config = json.loads(json.dumps(CONFIG))
    override([config], {name: 42})
    assert look(config) == 42


def test_every_config_that_has_the_id_is_changed():
    configs = [{"spacing": 1}, {"epochs": 1}, {"spacing": 2}]
    override(configs, {"spacing": 5})
    assert configs == [{"spacing": 5}, {"epochs": 1}, {"spacing": 5}]


@pytest.mark.parametrize(
    "name", ["epoch", "plain#new", "epochs#a", "handlers#1#interval", "spacing#3", "handlers#x"]
)
def test_an_id_that_is_nowhere_is_named(name):
    with pytest.raises(ValueError, match=f"{name}: the bundle's configs have no such id"):
        override([json.loads(json.dumps(CONFIG))], {name: 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", "abc"), ("epochs", 2.5), ("epochs", True), ("handlers#0#interval", [1])],
)
def test_a_number_takes_the_place_of_a_number(name, value):
    with pytest.raises(ValueError, match=f"{name}: no whole number .got .*, expected one such as"):
        override([CONFIG], {name: value})
