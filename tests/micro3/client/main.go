// Command client does with Micro v3's own Go libraries what a service does, and prints what came of each step as JSON.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/micro/micro/v3/service"
)

var ctx = context.Background()

// steps are done in this order, each with what the ones before it left behind.
var steps = []struct {
	name string
	do   func() (any, error)
}{
	{"store", keepRecords},
	{"store of another namespace", readElsewhere},
	{"model", keepModels},
	{"blob", keepBlobs},
	{"config", configure},
	{"events acknowledged", acknowledge},
	{"events replayed", replay},
	{"events stored", readEvents},
	{"broker", broadcast},
	{"accounts", manageAccounts},
	{"rules", manageRules},
	{"registry", discover},
	{"router", route},
	{"network", look},
	{"debug", ask},
	{"runtime", listRunning},
	{"call", call},
	{"call of nobody", callNobody},
}

func main() {
	service.New()
	lines := json.NewEncoder(os.Stdout)
	for _, step := range steps {
		got, err := step.do()
		line := map[string]any{"step": step.name, "got": got}
		if err != nil {
			line["error"] = err.Error()
		}
		if err := lines.Encode(line); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// within waits for one of a channel; an error after ten seconds.
func within[T any](channel <-chan T) (T, error) {
	select {
	case one := <-channel:
		return one, nil
	case <-time.After(10 * time.Second):
		var none T
		return none, fmt.Errorf("nothing came within 10 s")
	}
}

func large() []byte { return bytes.Repeat([]byte("0123456789abcdef"), 3<<16) } // 3 MiB

func same(reader io.Reader, want []byte) (bool, error) {
	got, err := io.ReadAll(reader)
	return bytes.Equal(got, want), err
}
