"""Comments in a source's .proto files come to what its service tells of itself."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from micro import comments
from runtime.builds import protos

SERVICE = """syntax = "proto3";
package shop;
import "common/money.proto";
// Sells things.
service Shop {
  // Sells one thing.
  rpc Sell(Order) returns (Order);
}
message Order {
  string name = 1; // What is sold.
  Money price = 2;
  message Line { int64 count = 1; // How many.
  }
}
"""
MONEY = """syntax = "proto3";
package shop;
// An amount.
message Money { int64 cents = 1; }
"""


def source(folder, files):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def test_comments_are_read_wherever_imports_are_found(tmp_path):
    folder = source(tmp_path, {"api/shop.proto": SERVICE, "api/common/money.proto": MONEY})
    assert comments.of(FileDescriptorSet.FromString(protos.read(folder))) == {
        "shop.Shop": "Sells things.",
        "shop.Shop.Sell": "Sells one thing.",
        "shop.Order.name": "What is sold.",
        "shop.Order.Line.count": "How many.",
        "shop.Money": "An amount.",
    }


def test_a_file_that_is_no_proto_and_one_of_somebody_else_say_nothing(tmp_path):
    files = {"bad.proto": "nonsense", "money.proto": MONEY, "node_modules/other/shop.proto": SERVICE}
    read = FileDescriptorSet.FromString(protos.read(source(tmp_path, files)))
    assert [file.name for file in read.file] == ["money.proto"]
    (tmp_path / "empty").mkdir()
    assert protos.read(tmp_path / "empty") == b""


def test_comments_are_carried_to_the_same_names_and_leave_others_alone(tmp_path):
    written = protos.read(source(tmp_path, {"shop.proto": SERVICE, "common/money.proto": MONEY}))
    told = FileDescriptorSet.FromString(written)
    for file in told.file:
        file.ClearField("source_code_info")
    told.file[0].message_type.add(name="Unwritten")
    comments.put(told.file[1], (6, 0), "What the service itself says.")
    said = comments.of(FileDescriptorSet.FromString(protos.with_comments(told.SerializeToString(), written)))
    assert said["shop.Order.name"] == "What is sold."
    assert said["shop.Shop"] == "What the service itself says."
    assert "shop.Unwritten" not in said
    assert protos.with_comments(b"", written) == b""
    assert protos.with_comments(written, b"") == written
