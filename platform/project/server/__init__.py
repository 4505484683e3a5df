"""`manage.py server`: every process of the platform on one machine, supervised. Needs no Django of its own."""
