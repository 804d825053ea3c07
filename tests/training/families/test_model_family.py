"""What the table of families names is there."""

import subprocess
import sys

import pytest

import zeroskew.declarations.lightgbm
from training.families.model_family import load_family
from zeroskew.declarations.families import FAMILIES, ParameterRules, load_parameter_rules

RULES: ParameterRules = zeroskew.declarations.lightgbm  # The type checker looks at it here.


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_family_of_the_table_is_there(name: str) -> None:
    rules, family = load_parameter_rules(name), load_family(name)
    assert rules.find_problems({"objective": "regression"}) == []
    assert rules.find_problems({"objective": "regression", "of nobody": 1}) != []
    assert family.step_file
    assert family.weighed_by
    assert isinstance(family.libraries, tuple)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_its_rules_import_nothing_that_fits(name: str) -> None:
    code = f"""
import sys
from zeroskew.declarations.families import load_parameter_rules
load_parameter_rules({name!r})
sys.exit(bool({{"lightgbm", "training", "feast", "onnx"}} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
