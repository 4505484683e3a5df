"""debug.Debug: what every service says about itself."""

from __future__ import annotations

import gc
import threading
import time

import psutil

from micro.errors import InvalidArgument, Unimplemented
from micro.proto import debug_pb2

from .callers import Caller, Scope
from .journal import Journal
from .methods import ANYONE, Methods, unary
from .statistics import Statistics


def methods(statistics: Statistics, journal: Journal, *, operators: Scope) -> Methods:
    """Health, Stats and, for `operators` alone, Log of this process: its lines may name any tenant. Spans are not kept.

    Logs of users' services are the runtime's.
    """

    async def health(_request: debug_pb2.HealthRequest, _caller: Caller) -> debug_pb2.HealthResponse:
        return debug_pb2.HealthResponse(status="ok")

    async def stats(_request: debug_pb2.StatsRequest, _caller: Caller) -> debug_pb2.StatsResponse:
        return _stats(statistics)

    async def log(request: debug_pb2.LogRequest, _caller: Caller) -> debug_pb2.LogResponse:
        if request.count < 0 or request.since < 0:
            raise InvalidArgument("The fields count and since must not be negative.")
        return debug_pb2.LogResponse(records=journal.last(count=request.count, since=request.since))

    async def trace(_request: debug_pb2.TraceRequest, _caller: Caller) -> debug_pb2.TraceResponse:
        raise Unimplemented("This server keeps no spans.")

    return {
        "Debug.Health": unary(health, request=debug_pb2.HealthRequest, response=debug_pb2.HealthResponse, scope=ANYONE),
        "Debug.Stats": unary(stats, request=debug_pb2.StatsRequest, response=debug_pb2.StatsResponse, scope=ANYONE),
        "Debug.Log": unary(log, request=debug_pb2.LogRequest, response=debug_pb2.LogResponse, scope=operators),
        "Debug.Trace": unary(trace, request=debug_pb2.TraceRequest, response=debug_pb2.TraceResponse, scope=ANYONE),
    }


def _stats(statistics: Statistics) -> debug_pb2.StatsResponse:
    now = time.time()
    return debug_pb2.StatsResponse(
        timestamp=int(now),
        started=int(statistics.started),
        uptime=int(now - statistics.started),
        memory=psutil.Process().memory_info().rss,
        threads=threading.active_count(),
        gc=sum(generation["collections"] for generation in gc.get_stats()),
        requests=statistics.requests,
        errors=statistics.errors,
    )
