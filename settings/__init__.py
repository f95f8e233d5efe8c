"""Settings of a process, each declared once; gateway and workers share this package, which imports neither.

`declaration` holds what a settings class is made of, `command_line` reads one from flags, environment and file.
"""
