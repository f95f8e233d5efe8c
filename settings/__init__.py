"""Settings of a process, each declared once; shared by gateway and workers, which it never imports."""
