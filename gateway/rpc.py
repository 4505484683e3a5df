"""api.Api on the wire: of what Micro 3's gateway could be told by calls, Envoy takes nothing."""

from __future__ import annotations

from micro.proto import api_pb2 as pb
from tenants.access.actors import needs
from tenants.access.permissions import Permission
from transport.methods import Methods, refuse, unary

WHY = "The gateway keeps no list of blocked accounts: delete the account, or deny it by a rule (auth.Rules.Create)."

METHODS: Methods = {
    "Api.AddToBlockList": unary(
        refuse(WHY),
        request=pb.AddToBlockListRequest,
        response=pb.AddToBlockListResponse,
        scope=needs(Permission.NETWORK_READ),
    ),
    "Api.RemoveFromBlockList": unary(
        refuse(WHY),
        request=pb.RemoveFromBlockListRequest,
        response=pb.RemoveFromBlockListResponse,
        scope=needs(Permission.NETWORK_READ),
    ),
    "Api.ReadBlockList": unary(
        refuse(WHY),
        request=pb.ReadBlockListRequest,
        response=pb.ReadBlockListResponse,
        scope=needs(Permission.NETWORK_READ),
    ),
}
