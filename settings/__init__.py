"""Settings of a process, each declared once. Gateway and workers share this package; it imports neither.

`declaration` defines settings classes; `command_line` reads their values from flags, environment and file.
"""
