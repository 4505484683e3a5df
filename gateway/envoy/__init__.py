"""What Envoy is given: its bootstrap and its Lua."""
