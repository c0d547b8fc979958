"""Suites as they are written: names, paths, and what is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onetrunk.adaptation.draws import Draw
from onetrunk.benchmark.cells import every_id
from onetrunk.benchmark.suite import DrawnRows, Suite
from onetrunk.benchmark.suite_file import load_suite
from onetrunk.config import parse
from onetrunk.data.locate import Located
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.decoding import Entities, Labelled
from onetrunk.errors import UserError
from onetrunk.families import FAMILIES
from onetrunk.yaml_files import read_yaml

MakeSuite = Callable[..., Suite]
SuiteFile = Callable[..., Path]


def test_draws_have_names_and_rows_are_at_most() -> None:
    assert DrawnRows(rows=1000).name == "1000-rows"
    assert [DrawnRows(fraction=f).name for f in (0.1, 0.01, 0.07, 0.125, 1.0)] == [
        "10-percent", "1-percent", "7-percent", "12.5-percent", "100-percent",
    ]  # fmt: skip
    assert DrawnRows(shots=5).name == "5-shot"
    assert DrawnRows(rows=1000).of(100) == Draw(rows=100)
    assert DrawnRows(rows=1000).of(2000) == Draw(rows=1000)
    assert DrawnRows(shots=5).of(2) == Draw(shots=5)


def test_every_strategy_meets_every_task_draw_adapter_and_seed(make_suite: MakeSuite) -> None:
    suite = make_suite(seeds=[0, 4], adaptation_seeds=[1, 2], draws=[{"rows": 8}, {"shots": 2}])
    ids = list(every_id(suite))
    assert len(set(ids)) == len(ids) == (1 + 2 + 2) * 2 * 2 * 2 * 2
    assert {id.seed for id in ids if id.strategy == "none"} == {0}  # no seed changes it
    assert {id.seed for id in ids if id.strategy == "tpl"} == {0, 4}


def test_the_same_stage_1_is_one_backbone(make_suite: MakeSuite, corpora: Path) -> None:
    shutil.copy(corpora / "recipe.yaml", corpora / "other.yaml")
    suite = make_suite(
        strategies=[
            {"name": "discarded", "strategy": "tpl", "discard_primary": True},
            "tpl",
            {"name": "other tpl", "strategy": "tpl", "recipe": "other.yaml"},
        ]
    )
    folders = [suite.backbone(each, 3, Path("out")).name for each in suite.strategies]
    assert folders == ["tpl.3", "tpl.3", "other tpl.3"]


def test_stage_1_is_kept_from_the_tasks(make_suite: MakeSuite, corpora: Path) -> None:
    suite = make_suite(
        tasks=[
            {"name": "who", "family": "ner", "data": "ner/app"},
            {
                "name": "verb",
                "family": "tc",
                "data": {"train": "tc/app/train.parquet", "test": "tc/app/test.parquet"},
            },
            {"name": "far", "family": "tc", "data": "tc/absent", "hub": "some/set:config"},
        ]
    )
    recipe = suite.recipe_of(suite.strategy("tpl"), 4)
    assert (recipe.strategy, recipe.seed, recipe.steps) == ("tpl", 4, 2)
    assert recipe.decontaminate is not None
    assert recipe.decontaminate.against == [
        str(corpora / "ner/app"), str(corpora / "tc/app/test.parquet"), "hub:some/set:config",
    ]  # fmt: skip
    (far,) = (task for task in suite.tasks if task.name == "far")
    expected = Located("set-config", (), ("some/set", "config"), "test")
    assert far.located()["test"] == expected
    plain = make_suite(decontaminate=False)
    assert plain.recipe_of(plain.strategy("tpl"), 0).decontaminate is None


def test_a_setting_has_its_older_name_in_files(make_suite: MakeSuite) -> None:
    for key in ("reads", "head_layers"):
        assert make_suite(adapt={key: 2}).settings("linear", 0).head_layers == 2


def test_families_say_the_metrics_they_have() -> None:
    ner, tc = FAMILIES["ner"], FAMILIES["tc"]
    tagged = ner.score([AnnotatedText("ann", ((0, 3, "x"),))], [Entities([], [])])
    labelled = tc.score([LabelledText("ann", ("x",))], [Labelled(("y",), {})])
    assert set(tagged) == set(ner.metrics)
    assert set(labelled) == set(tc.metrics)


TASK = {"name": "who", "family": "ner", "data": "ner/app"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stpes": 3}, "unknown key 'stpes'; did you mean 'steps'?"),
        ({"tasks": [{**TASK, "metrc": "f1"}]}, r"unknown key 'tasks\.0\.metrc'; .*'metric'"),
        ({"tasks": [{**TASK, "data": {"trian": "x"}}]}, r"'tasks\.0\.data\.trian'; .*'train'"),
        ({"strategies": [{"nmae": "tpl"}]}, r"'strategies\.0\.nmae'; did you mean 'name'"),
        ({"draws": [{"shot": 3}]}, r"'draws\.0\.shot'; did you mean 'shots'"),
        ({"draws": [{"rows": 3, "shots": 3}]}, "draws: each is one of rows, fraction and shots"),
        ({"draws": [{}]}, "draws: each is one of rows, fraction and shots"),
        ({"adapters": ["lara"]}, r"adapters\.0: input should be 'lora' or 'linear'.*'lara'"),
        ({"adapt": {"epoch": 3}}, r"unknown key 'adapt\.epoch'; did you mean 'epochs'"),
        ({"adapt": {"epochs": "many"}}, r"adapt\.epochs: .*integer.*\(got 'many'\)"),
        ({"adapt": {"l2": -1}}, r"l2 -1(\.0)?: must be a number, 0 or more"),
        ({"adapt": {"epochs": True}}, r"adapt\.epochs: true and false .*\(got True\)"),
        ({"adapt": {"batch_size": 10**9}}, r"batch_size 1000000000: must be at most 100000"),
        ({"adapt": {"max_length": 10**9}}, r"max_length 1000000000: must be at most 100000"),
        ({"steps": True}, r"steps: true and false .*\(got True\)"),
        ({"steps": 10**10}, r"steps: .*less than or equal to 1000000000"),
        ({"seeds": [True]}, r"seeds: true and false"),
        ({"seeds": [2**63]}, rf"seeds\.0: .*less than {2**63} \(got {2**63}\)"),
        ({"adaptation_seeds": [0, -1]}, r"adaptation_seeds\.1: .*equal to 0 \(got -1\)"),
        ({"draws": [{"rows": 10**10}]}, r"draws\.0\.rows: .*less than or equal to 1000000000"),
        ({"strategies": ["tlp"]}, "strategy 'tlp': recipe: unknown strategy 'tlp'.*'tpl'"),
        ({"strategies": ["a/b"]}, "strategy 'a/b': a name becomes a folder's"),
        ({"strategies": ["tpl", "tpl"]}, "strategies: 'tpl' comes 2 times"),
        ({"seeds": [1, 1]}, "seeds: '1' comes 2 times"),
        ({"recipe": None}, "strategy 'none': neither it nor the suite has a recipe"),
        ({"recipe": "recpe.yaml"}, "strategy 'none': no such recipe: .*recpe.yaml"),
        ({"tasks": [TASK, TASK]}, "tasks: 'who' comes 2 times"),
        ({"tasks": [{**TASK, "family": "nre"}]}, "task 'who': unknown task family 'nre'.*'ner'"),
        ({"tasks": [{**TASK, "metric": "f2"}]}, "task 'who': unknown metric 'f2'; valid: f1"),
        ({"tasks": [{**TASK, "data": "ner/ap"}]}, "task 'who': no such file: .*; .* mean 'app'"),
        ({"tasks": [{**TASK, "data": None}]}, "task 'who': it has neither data nor hub"),
        (
            {"tasks": [{**TASK, "data": {"train": "ner/app/train.parquet"}}]},
            "task 'who': data is a folder, or train and test",
        ),
        (
            {"strategies": [{"name": "tpl", "folder": "pre_nre"}]},
            "strategy 'tpl': no such file: .*pre_nre; did you mean 'pre_ner'",
        ),
        (
            {"strategies": [{"name": "tpl", "folder": "pre_ner"}]},
            "strategy 'tpl': .*pre_ner is not a backbone folder",
        ),
        (
            {"strategies": [{"name": "tpl", "folder": "pre_ner", "strategy": "joint"}]},
            "recipe and strategy do not apply",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    suite_file: SuiteFile, changes: dict[str, Any], message: str
) -> None:
    path = suite_file(**changes)
    with pytest.raises(UserError, match=message) as error:
        load_suite(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_unknown_names_are_answered_with_the_nearest(make_suite: MakeSuite) -> None:
    suite = make_suite()
    with pytest.raises(UserError, match="unknown task 'vreb'; did you mean 'verb'"):
        suite.task("vreb")
    with pytest.raises(UserError, match="no such suite"):
        load_suite(Path("nowhere.yaml"))


def test_the_suite_of_21_tasks() -> None:
    path = Path(__file__).parents[2] / "recipes/suite21.yaml"
    suite = parse(Suite, read_yaml(path, "suite"), str(path))
    families = [task.family for task in suite.tasks]
    assert (families.count("ner"), families.count("tc")) == (10, 11)
    assert [task.name for task in suite.tasks if task.score == "macro_f1"] == [
        "sms_spam", "tweeteval_emotion", "tweeteval_offensive"
    ]  # fmt: skip
    assert (path.parent / str(suite.recipe)).exists()
    assert len(list(every_id(suite))) == 7 * 21 * 2 * 3 * 2


def test_a_suite_may_have_a_base(suite_file: SuiteFile) -> None:
    """Its keys count where there are none; its paths start at its own folder."""
    base = suite_file(steps=5)
    folder = base.parent / "more"
    folder.mkdir()
    (folder / "few.yaml").write_text(f"base: ../{base.name}\nadapters: [linear]\nsteps: 7\n")
    few, whole = load_suite(folder / "few.yaml"), load_suite(base)
    assert (few.adapters, few.steps) == (["linear"], 7)
    assert few.model_copy(update={"adapters": whole.adapters, "steps": 5}) == whole
    for content, why in {
        "base: few.yaml": "a base of itself",
        "base: [1]": "a suite's file is expected",
        "base: nowhere.yaml": "no such suite",
        "base: few.yaml\nadapter: [linear]": "unknown key 'adapter'",
    }.items():
        (folder / "wrong.yaml").write_text(content)
        (folder / "few.yaml").write_text("base: wrong.yaml" if "itself" in why else
                                         f"base: ../{base.name}")  # fmt: skip
        with pytest.raises(UserError, match=why):
            load_suite(folder / "wrong.yaml")


@pytest.mark.parametrize("name", ["suite21-linear", "suite21-second", "suite21-shots"])
def test_suites_made_from_that_of_21_tasks(name: str) -> None:
    recipes = Path(__file__).parents[2] / "recipes"
    suite, whole = (load_suite(recipes / f"{file}.yaml", files=False) for file in (name, "suite21"))
    assert (suite.tasks, suite.recipe, suite.adapters) == (whole.tasks, whole.recipe, ["linear"])


def test_settings_that_yaml_reads_as_texts_are_what_they_say(suite_file: SuiteFile) -> None:
    path = suite_file(adapt={"neighbours": "no", "head_lr": "1e-3", "alpha": 8})
    assert load_suite(path).adapt == {"neighbours": False, "head_lr": 1e-3, "alpha": 8}
    assert type(load_suite(path).settings("lora", 0).alpha) is int  # as results name it
    path.write_text(path.read_text() + "adapt: {alpha: 9}\n")
    with pytest.raises(UserError, match=r"yaml:\d+: the key 'adapt' occurs twice"):
        load_suite(path)
