"""Workers on PostgreSQL while its server restarts: no trial is lost and none is made twice."""

import pytest
from benchmarks.search_load import search


@pytest.mark.slow
def test_a_restart_of_the_server_loses_no_trial() -> None:
    found = search(workers=3, trials=24, seconds=0.1)
    assert found["workers"] == 3
    assert found["slots"] == found["complete"] == 24
    assert found["finished before the restart"] < 24
    # At most what each worker had in hand was tried again.
    assert found["tries"] <= 24 + 3
    assert found["queries a trial"] < 500
