"""Servers that come as wheels, started when their URL is unset."""
