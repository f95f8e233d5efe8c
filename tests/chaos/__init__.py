import pytest

pytest.register_assert_rewrite("tests.chaos.speaker", "tests.chaos.drills")
