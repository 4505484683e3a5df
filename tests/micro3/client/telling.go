package main

import (
	"time"

	"github.com/micro/micro/v3/service/broker"
	"github.com/micro/micro/v3/service/events"
)

var began = time.Now()

type order struct {
	Number int `json:"number"`
}

func acknowledge() (any, error) {
	channel, err := events.Consume("orders", events.WithGroup("billing"),
		events.WithAutoAck(false, 2*time.Second), events.WithRetryLimit(3), events.WithOffset(began))
	if err != nil {
		return nil, err
	}
	for number := 1; number <= 3; number++ {
		if err := events.Publish("orders", order{number}, events.WithMetadata(map[string]string{"by": "go"})); err != nil {
			return nil, err
		}
	}
	var handled, refused []int
	for len(handled) < 3 {
		event, err := within(channel)
		if err != nil {
			return map[string]any{"handled": handled, "refused": refused}, err
		}
		var got order
		if err := event.Unmarshal(&got); err != nil {
			return nil, err
		}
		if got.Number == 2 && len(refused) == 0 {
			refused = append(refused, got.Number)
			err = event.Nack()
		} else {
			handled = append(handled, got.Number)
			err = event.Ack()
		}
		if err != nil {
			return nil, err
		}
	}
	return map[string]any{"handled": handled, "refused": refused}, nil
}

func replay() (any, error) {
	channel, err := events.Consume("orders", events.WithOffset(began))
	if err != nil {
		return nil, err
	}
	var numbers []int
	for len(numbers) < 3 {
		event, err := within(channel)
		if err != nil {
			return numbers, err
		}
		var got order
		if err := event.Unmarshal(&got); err != nil {
			return nil, err
		}
		numbers = append(numbers, got.Number)
	}
	return numbers, nil
}

func readEvents() (any, error) {
	stored, err := events.DefaultStore.Read("orders")
	if err != nil {
		return nil, err
	}
	var payloads []string
	for _, event := range stored {
		payloads = append(payloads, string(event.Payload)+" by "+event.Metadata["by"])
	}
	return payloads, nil
}

func broadcast() (any, error) {
	heard := make(chan string, 10)
	for range []int{1, 2} {
		subscription, err := broker.DefaultBroker.Subscribe("news", func(message *broker.Message) error {
			heard <- message.Header["lang"] + " " + string(message.Body)
			return nil
		}, broker.Queue("readers"))
		if err != nil {
			return nil, err
		}
		defer subscription.Unsubscribe()
	}
	time.Sleep(500 * time.Millisecond) // the library does not say when it is subscribed
	err := broker.Publish("news", &broker.Message{Header: map[string]string{"lang": "en"}, Body: []byte("hello")})
	if err != nil {
		return nil, err
	}
	first, err := within(heard)
	time.Sleep(500 * time.Millisecond)
	return map[string]any{"heard": first, "more": len(heard)}, err
}
