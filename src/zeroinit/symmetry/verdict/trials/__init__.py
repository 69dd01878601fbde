"""Changes of a copy that show whether a suspected cause is the true one."""
