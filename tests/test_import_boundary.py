import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {"mmctr": {"prefect", "mlflow", "tasks", "flows"}, "tasks": {"flows"}}


def imported(path):
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_go_one_way(package):
    files = list((ROOT / package).rglob("*.py"))
    assert len(files) > 5
    for path in files:
        assert FORBIDDEN[package].isdisjoint(imported(path)), path


def test_the_library_loads_neither_prefect_nor_mlflow():
    modules = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in (ROOT / "mmctr").glob("[a-z]*.py")]
    code = f"import sys, {', '.join(modules)}; sys.exit(any(m in sys.modules for m in ('prefect', 'mlflow')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom flows.arguments import parser\nparser().format_help()\n"
        "heavy = {'torch', 'polars', 'prefect', 'mlflow', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
