package main

import (
	"bytes"
	"errors"
	"time"

	pb "github.com/micro/micro/v3/proto/store"
	"github.com/micro/micro/v3/service/client"
	"github.com/micro/micro/v3/service/config"
	"github.com/micro/micro/v3/service/model"
	"github.com/micro/micro/v3/service/store"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
)

func keepRecords() (any, error) {
	for _, record := range []*store.Record{
		{Key: "a/b", Value: []byte("one"), Metadata: map[string]interface{}{"color": "red"}},
		{Key: "a/bc", Value: []byte{0, 255}, Expiry: time.Minute},
		{Key: "z", Value: []byte("three")},
	} {
		if err := store.Write(record); err != nil {
			return nil, err
		}
	}
	one, err := store.Read("a/b")
	if err != nil {
		return nil, err
	}
	leased, err := store.Read("a/bc")
	if err != nil {
		return nil, err
	}
	below, err := store.Read("a/", store.ReadPrefix(), store.ReadOrder(store.OrderDesc), store.ReadLimit(1))
	if err != nil {
		return nil, err
	}
	keys, err := store.List(store.ListPrefix("a/"))
	if err != nil {
		return nil, err
	}
	if err := store.Delete("z"); err != nil {
		return nil, err
	}
	_, missing := store.Read("z")
	tables, err := pb.NewStoreService("store", client.DefaultClient).Tables(
		ctx, &pb.TablesRequest{Database: "go"}, client.WithAuthToken())
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"value": string(one[0].Value), "metadata": one[0].Metadata, "bytes": leased[0].Value,
		"leased":        leased[0].Expiry > 50*time.Second && leased[0].Expiry <= time.Minute,
		"last below a/": below[0].Key, "below a/": len(below), "keys": keys,
		"missing": errors.Is(missing, store.ErrNotFound), "tables": tables.Tables,
	}, nil
}

func readElsewhere() (any, error) {
	return store.Read("a/b", store.ReadFrom("micro", "micro"))
}

// Customer is kept by its ID and found by its City.
type Customer struct {
	ID   string `json:"id"`
	City string `json:"city"`
}

func keepModels() (any, error) {
	customers := model.NewModel(model.WithStore(store.DefaultStore), model.WithIndexes(model.ByEquality("city")))
	if err := customers.Register(Customer{}); err != nil {
		return nil, err
	}
	for _, customer := range []Customer{{"1", "Bern"}, {"2", "Basel"}, {"3", "Bern"}} {
		if err := customers.Create(customer); err != nil {
			return nil, err
		}
	}
	if err := customers.Update(Customer{"3", "Basel"}); err != nil {
		return nil, err
	}
	if err := customers.Delete(model.QueryEquals("id", "2")); err != nil {
		return nil, err
	}
	var found []Customer
	err := customers.Read(model.QueryEquals("city", "Basel"), &found)
	return found, err
}

func keepBlobs() (any, error) {
	blobs := store.DefaultBlobStore
	if err := blobs.Write("pictures/1", bytes.NewReader(large()), store.BlobContentType("image/png")); err != nil {
		return nil, err
	}
	reader, err := blobs.Read("pictures/1")
	if err != nil {
		return nil, err
	}
	whole, err := same(reader, large())
	if err != nil {
		return nil, err
	}
	keys, err := blobs.List(store.BlobListPrefix("pictures/"))
	if err != nil {
		return nil, err
	}
	if err := blobs.Delete("pictures/1"); err != nil {
		return nil, err
	}
	_, missing := blobs.Read("pictures/1")
	return map[string]any{"whole": whole, "keys": keys, "missing": grpcstatus.Code(missing) == codes.NotFound}, nil
}

func configure() (any, error) {
	if err := config.Set("shop", map[string]any{"open": true, "seats": 12, "wait": "90s"}); err != nil {
		return nil, err
	}
	if err := config.Set("shop.key", "hush", config.Secret(true)); err != nil {
		return nil, err
	}
	if err := config.Delete("shop.open"); err != nil {
		return nil, err
	}
	got := map[string]any{}
	for name, read := range map[string]func() (config.Value, error){
		"masked": func() (config.Value, error) { return config.Get("shop.key") },
		"secret": func() (config.Value, error) { return config.Get("shop.key", config.Secret(true)) },
		"gone":   func() (config.Value, error) { return config.Get("shop.open") },
	} {
		value, err := read()
		if err != nil {
			return nil, err
		}
		got[name] = value.String("nothing")
	}
	seats, err := config.Get("shop.seats")
	if err != nil {
		return nil, err
	}
	wait, err := config.Get("shop.wait")
	got["seats"], got["wait"] = seats.Int(0), wait.Duration(0).String()
	return got, err
}
