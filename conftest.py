"""What every test run shares: the slow mark of notebooks, and NO_SKIP=1, which fails what skips."""

import os

import pytest

NO_SKIP = os.environ.get("NO_SKIP") == "1"


def pytest_collection_modifyitems(items):
    """Mark the cells of a notebook as slow where its first cell has the tag `slow`."""
    for item in items:
        notebook = getattr(item.parent, "nb", None)
        if notebook and notebook.cells and "slow" in notebook.cells[0].metadata.get("tags", []):
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
