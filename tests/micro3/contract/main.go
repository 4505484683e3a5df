// Command contract prints the descriptors of everything that Micro v3 speaks: a serialized FileDescriptorSet.
package main

import (
	"os"
	"strings"

	_ "github.com/micro/micro/v3/proto/api"
	_ "github.com/micro/micro/v3/proto/auth"
	_ "github.com/micro/micro/v3/proto/broker"
	_ "github.com/micro/micro/v3/proto/client"
	_ "github.com/micro/micro/v3/proto/config"
	_ "github.com/micro/micro/v3/proto/debug"
	_ "github.com/micro/micro/v3/proto/errors"
	_ "github.com/micro/micro/v3/proto/events"
	_ "github.com/micro/micro/v3/proto/network"
	_ "github.com/micro/micro/v3/proto/registry"
	_ "github.com/micro/micro/v3/proto/router"
	_ "github.com/micro/micro/v3/proto/runtime"
	_ "github.com/micro/micro/v3/proto/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

func main() {
	set := &descriptorpb.FileDescriptorSet{}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if !strings.HasPrefix(string(file.Package()), "google.") {
			set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
		}
		return true
	})
	bytes, err := proto.Marshal(set)
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(bytes)
}
