"""Who may do what in a namespace: permissions, the one table of them by role, grants, and the doors that ask."""
