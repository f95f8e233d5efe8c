"""The Python client of the TalkUp gateway and the `talkup` command."""
