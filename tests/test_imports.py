"""Who may import whom: the contracts stand in pyproject.toml."""

import sys
from pathlib import Path

import grimp
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parent.parent


def test_every_contract_of_pyproject_is_kept(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == 0, capsys.readouterr().out


def test_storyland_imports_numpy_and_the_standard_library_only():
    """But for its command line, which shows a progress bar."""
    graph = grimp.build_graph("storyland", include_external_packages=True, cache_dir=None)
    modules = graph.find_descendants("storyland") | {"storyland"}
    for module in modules:
        imported = graph.find_modules_directly_imported_by(module)
        packages = {name.partition(".")[0] for name in imported}
        allowed = {"storyland", "numpy"} | ({"tqdm"} if module == "storyland.__main__" else set())
        assert packages - sys.stdlib_module_names <= allowed, module
