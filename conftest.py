"""What every test run shares: notebooks are marked slow, MODELS=no leaves out what needs the real
models, NO_SKIP=1 fails what skips, and what a test draws at random can be drawn again."""

import os
import random
import re
import sys

import pytest
from hypothesis import HealthCheck, settings

NO_SKIP = os.environ.get("NO_SKIP") == "1"
NO_MODELS = os.environ.get("MODELS") == "no"
IN_CI = bool(os.environ.get("CI"))  # there every run draws the same

# No deadline and no complaint that drawing is slow: both would be about the machine's load.
settings.register_profile(
    "course",
    deadline=None,
    derandomize=IN_CI,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("course")


@pytest.hookimpl(tryfirst=True)  # before hypothesis reads it
def pytest_configure(config):
    """One seed for the whole run: given, or drawn, or the one of the run whose worker this is."""
    if hasattr(config, "workerinput"):
        config.option.hypothesis_seed = config.workerinput["seed"]
    elif config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = 0 if IN_CI else random.SystemRandom().randrange(1 << 32)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """For pytest-xdist: its worker draws what this process would."""
    node.workerinput["seed"] = node.config.option.hypothesis_seed


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A file's tests are one worker's work, and of a file about labs those of one lab: its labs
    would keep one worker long after the other has nothing left."""
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling  # here only: others may use this file alone

    class ByFileAndLab(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            lab = re.search(r"\[.*(lab\d\d-\w+)", nodeid)
            return super()._split_scope(nodeid) + (f" {lab[1]}" if lab else "")

    return ByFileAndLab(config, log)


def pytest_report_header(config):
    header = [f"random tests: repeat them with --hypothesis-seed={config.option.hypothesis_seed}"]
    if NO_MODELS:
        header += ["MODELS=no: tests and pages that need the real models are skipped"]
    return header


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Each test draws the same whatever ran before it; what is trained, in every run."""
    random.seed(int(item.config.option.hypothesis_seed))
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def pytest_collection_modifyitems(items):
    """Mark the cells of notebooks as slow, and those of pages that need the models; no picture is
    compared, whether nbval knows its kind or not."""
    for item in items:
        if item.path.suffix == ".ipynb":
            from tools.notebooks import needs_models  # here only: others may use this file alone

            item.add_marker(pytest.mark.slow)
            if needs_models(item.path):
                item.add_marker("models")
            if "image/svg+xml" not in item.parent.skip_compare:
                item.parent.skip_compare += ("image/svg+xml",)
            item.output_timeout = 60  # nbval's own 5 s are too few for a busy machine
        if NO_MODELS and item.get_closest_marker("models"):
            item.add_marker(pytest.mark.skip(reason="needs the models: make models"))


def failed_if_skipped(report):
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        *_, reason = report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason} (NO_SKIP=1 lets no test be skipped)"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    return failed_if_skipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return failed_if_skipped((yield))
