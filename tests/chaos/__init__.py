import pytest

pytest.register_assert_rewrite("bench.harness.speaker", "bench.harness.actions")
