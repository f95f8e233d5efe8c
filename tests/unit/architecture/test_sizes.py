"""Files and functions stay small enough to be read at once; every exception stands here with its reason."""

from __future__ import annotations

import ast

from tests.unit.architecture.source import MODULES

MAX_FILE_LINES = 400
LONG_FILES = {
    "gateway.protocol.messages": "a table: every message of the protocol with its fields",
}

MAX_FUNCTION_LINES = 50
SHORT_SHARE = 0.95

MAX_PARAMETERS = 7
OPTION_TABLES = {
    "talkup_client.client:__init__": "the options of a connection, all with defaults",
    "talkup_client.client:stream": "the options of a stream, all with defaults",
    "talkup_client.transcribe:transcribe": "the options of a command, all with defaults",
}


def test_no_file_is_too_long_to_be_read() -> None:
    lines = {name: len(module.path.read_text(encoding="utf-8").splitlines()) for name, module in MODULES.items()}
    long = {name for name, count in lines.items() if count > MAX_FILE_LINES and not name.startswith("talkup_client")}
    assert not long - set(LONG_FILES)


def test_the_long_files_named_here_exist() -> None:
    assert set(LONG_FILES) <= set(MODULES)


def test_functions_fit_a_screen() -> None:
    lengths = {
        f"{name}:{function.name}:{function.lineno}": (function.end_lineno or 0) - function.lineno + 1
        for name, module in MODULES.items()
        for function in module.functions()
    }
    long = {label: length for label, length in lengths.items() if length > MAX_FUNCTION_LINES}
    assert len(long) <= (1 - SHORT_SHARE) * len(lengths), long


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many parameters a caller may give: `self` and `cls` do not count."""
    arguments = function.args
    positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    bound = positional[:1] in (["self"], ["cls"])
    return len(positional) + len(arguments.kwonlyargs) - bound


def test_no_function_has_a_long_list_of_parameters() -> None:
    long = {
        f"{name}:{function.name}"
        for name, module in MODULES.items()
        for function in module.functions()
        if parameters(function) > MAX_PARAMETERS
    }
    assert not long - set(OPTION_TABLES)


def test_every_module_says_what_it_is() -> None:
    silent = [name for name, module in MODULES.items() if module.tree.body and ast.get_docstring(module.tree) is None]
    assert not silent
