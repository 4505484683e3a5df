"""api.Api on the wire: of what Micro 3's gateway could be told by calls, Envoy takes nothing."""

from __future__ import annotations

from micro.proto import api_pb2 as pb
from transport.methods import ANY_ACCOUNT, Methods, refuse, unary

WHY = "The gateway keeps no list of blocked accounts: delete the account, or deny it by a rule (auth.Rules.Create)."

METHODS: Methods = {
    "Api.AddToBlockList": unary(
        refuse(WHY), request=pb.AddToBlockListRequest, response=pb.AddToBlockListResponse, scope=ANY_ACCOUNT
    ),
    "Api.RemoveFromBlockList": unary(
        refuse(WHY), request=pb.RemoveFromBlockListRequest, response=pb.RemoveFromBlockListResponse, scope=ANY_ACCOUNT
    ),
    "Api.ReadBlockList": unary(
        refuse(WHY), request=pb.ReadBlockListRequest, response=pb.ReadBlockListResponse, scope=ANY_ACCOUNT
    ),
}
