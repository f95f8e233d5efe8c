"""What the clients know of the error codes is what the contract says."""

from __future__ import annotations

import pytest
from talkup.v1 import error_pb2
from talkup_client.error_codes import ERROR_CODES
from talkup_client.errors import SESSION_ENDS, from_error_data
from talkup_client.gateways import FINAL_CLOSES

from deploy.dev import schemas
from gateway.protocol.errors import ERRORS
from workers.errors import status_of


def test_the_generated_tables_are_up_to_date() -> None:
    assert schemas.PYTHON_ERRORS.read_text() == schemas.python_errors(), "make schemas"
    assert schemas.TYPESCRIPT_ERRORS.read_text() == schemas.typescript_errors(), "make schemas"


def test_every_error_that_ends_a_session_has_its_exception() -> None:
    assert {code for code, traits in ERROR_CODES.items() if traits.ends_session} == set(SESSION_ENDS)
    assert set(FINAL_CLOSES) == {1000, 1008, 4401, 4403}


def test_gateway_and_workers_read_the_same_table() -> None:
    for spec in ERRORS.values():
        code = error_pb2.ErrorCode.Value(f"ERROR_CODE_{spec.code.name}")
        assert status_of(code).value[0] == spec.status


def test_a_status_that_grpc_clients_retry_is_retryable() -> None:
    tried_again = {8, 10, 14}
    assert {code for code, spec in ERRORS.items() if spec.status in tried_again and not spec.retryable} == set()


@pytest.mark.parametrize(
    ("data", "retryable"), [({"code": "busy"}, True), ({"code": "busy", "retryable": False}, False)]
)
def test_an_error_without_its_own_word_is_retryable_as_the_table_says(data: dict[str, object], retryable: bool) -> None:
    assert from_error_data(data).retryable is retryable
