"""What every test run shares: notebooks are marked slow, and NO_SKIP=1 fails what skips."""

import os

import pytest

NO_SKIP = os.environ.get("NO_SKIP") == "1"


def pytest_collection_modifyitems(items):
    """Mark the cells of notebooks as slow."""
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.slow)


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
