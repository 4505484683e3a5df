"""Durable topics: publish, consume in groups, replay, dead letters."""
