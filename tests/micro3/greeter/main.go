// Command greeter is a service on Micro v3's own Go framework.
package main

import (
	"context"
	"fmt"

	"github.com/micro/micro/v3/service"
	"github.com/micro/micro/v3/service/auth"
	"github.com/micro/micro/v3/service/config"
	"github.com/micro/micro/v3/service/events"
	"github.com/micro/micro/v3/service/logger"
	"github.com/micro/micro/v3/service/store"
)

// Request names whom to greet.
type Request struct {
	Name string `json:"name"`
}

// Response is the greeting.
type Response struct {
	Msg string `json:"msg"`
}

// Greeter greets, with everything that the platform has.
type Greeter struct{}

// Call counts in the store, takes the word from the configuration, and tells it as an event.
func (Greeter) Call(ctx context.Context, in *Request, out *Response) error {
	word, err := config.Get("greeting")
	if err != nil {
		return err
	}
	if err := store.Write(&store.Record{Key: "last", Value: []byte(in.Name)}); err != nil {
		return err
	}
	if err := events.Publish("greeted", map[string]string{"name": in.Name}); err != nil {
		return err
	}
	caller := "nobody"
	if account, ok := auth.AccountFromContext(ctx); ok {
		caller = account.ID
	}
	out.Msg = fmt.Sprintf("%s %s, says %s", word.String("Hello"), in.Name, caller)
	logger.Infof("greeted %s", in.Name)
	return nil
}

func main() {
	srv := service.New()
	srv.Handle(new(Greeter))
	if err := srv.Run(); err != nil {
		logger.Fatal(err)
	}
}
