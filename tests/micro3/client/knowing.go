package main

import (
	"errors"
	"sort"
	"time"

	authpb "github.com/micro/micro/v3/proto/auth"
	debugpb "github.com/micro/micro/v3/proto/debug"
	networkpb "github.com/micro/micro/v3/proto/network"
	routerpb "github.com/micro/micro/v3/proto/router"
	"github.com/micro/micro/v3/service/auth"
	"github.com/micro/micro/v3/service/client"
	microerrors "github.com/micro/micro/v3/service/errors"
	"github.com/micro/micro/v3/service/registry"
	"github.com/micro/micro/v3/service/runtime"
)

func manageAccounts() (any, error) {
	made, err := auth.Generate("robot", auth.WithType("service"), auth.WithScopes("a", "b"), auth.WithSecret("s3cret"))
	if err != nil {
		return nil, err
	}
	token, err := auth.Token(auth.WithCredentials("robot", "s3cret"), auth.WithExpiry(time.Minute))
	if err != nil {
		return nil, err
	}
	again, err := auth.Token(auth.WithToken(token.RefreshToken), auth.WithExpiry(time.Minute))
	if err != nil {
		return nil, err
	}
	seen, err := auth.Inspect(again.AccessToken)
	if err != nil {
		return nil, err
	}
	accounts := authpb.NewAccountsService("auth", client.DefaultClient)
	_, err = accounts.ChangeSecret(ctx,
		&authpb.ChangeSecretRequest{Id: "robot", OldSecret: "s3cret", NewSecret: "other"}, client.WithAuthToken())
	if err != nil {
		return nil, err
	}
	_, wrong := auth.Token(auth.WithCredentials("robot", "s3cret"))
	list, err := accounts.List(ctx, &authpb.ListAccountsRequest{}, client.WithAuthToken())
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, account := range list.Accounts {
		ids = append(ids, account.Id)
	}
	sort.Strings(ids)
	_, err = accounts.Delete(ctx, &authpb.DeleteAccountRequest{Id: "robot"}, client.WithAuthToken())
	return map[string]any{
		"made": made.ID, "secret": made.Secret, "issuer": seen.Issuer, "scopes": seen.Scopes, "type": seen.Type,
		"ids": ids, "wrong": microerrors.FromError(wrong).Detail,
	}, err
}

func manageRules() (any, error) {
	vault := &auth.Resource{Type: "service", Name: "vault", Endpoint: "Vault.Open"}
	made := []*auth.Rule{
		{ID: "only", Scope: "staff", Access: auth.AccessGranted, Priority: 7, Resource: vault},
		{ID: "else", Access: auth.AccessDenied, Priority: 6, Resource: vault},
	}
	for _, rule := range made {
		if err := auth.Grant(rule); err != nil {
			return nil, err
		}
		defer auth.Revoke(rule)
	}
	ids, err := ruleIDs()
	for wait := 0; err == nil && len(ids) < 3 && wait < 100; wait++ { // the library looks for new rules behind our back
		time.Sleep(100 * time.Millisecond)
		ids, err = ruleIDs()
	}
	if err != nil {
		return nil, err
	}
	here := auth.VerifyNamespace("go")
	refused := auth.Verify(&auth.Account{ID: "x", Issuer: "go"}, vault, here)
	allowed := auth.Verify(&auth.Account{ID: "x", Issuer: "go", Scopes: []string{"staff"}}, vault, here)
	return map[string]any{
		"ids": ids, "refused": errors.Is(refused, auth.ErrForbidden), "allowed": allowed == nil,
	}, nil
}

func ruleIDs() ([]string, error) {
	rules, err := auth.Rules()
	var ids []string
	for _, rule := range rules {
		ids = append(ids, rule.ID)
	}
	sort.Strings(ids)
	return ids, err
}

func discover() (any, error) {
	watcher, err := registry.Watch()
	if err != nil {
		return nil, err
	}
	defer watcher.Stop()
	changes := make(chan string, 10)
	go func() {
		for {
			result, err := watcher.Next()
			if err != nil {
				return
			}
			changes <- result.Action + " " + result.Service.Name
		}
	}()
	time.Sleep(500 * time.Millisecond) // the library does not say when it watches
	own := &registry.Service{
		Name: "outside", Version: "latest",
		Endpoints: []*registry.Endpoint{{
			Name:    "Outside.Call",
			Request: &registry.Value{Name: "Request", Type: "Request", Values: []*registry.Value{{Name: "name", Type: "string"}}},
		}},
		Nodes: []*registry.Node{{Id: "outside-1", Address: "127.0.0.1:1"}},
	}
	if err := registry.DefaultRegistry.Register(own, registry.RegisterTTL(time.Minute)); err != nil {
		return nil, err
	}
	created, err := within(changes)
	if err != nil {
		return nil, err
	}
	found, err := registry.GetService("outside")
	if err != nil {
		return nil, err
	}
	names, err := serviceNames()
	if err != nil {
		return nil, err
	}
	if err := registry.DefaultRegistry.Deregister(own); err != nil {
		return nil, err
	}
	deleted, err := within(changes)
	_, missing := registry.GetService("outside")
	endpoint := found[0].Endpoints[0]
	return map[string]any{
		"changes": []string{created, deleted}, "address": found[0].Nodes[0].Address, "names": names,
		"field": endpoint.Request.Values[0].Name, "missing": errors.Is(missing, registry.ErrNotFound),
	}, err
}

func serviceNames() ([]string, error) {
	services, err := registry.ListServices()
	var names []string
	for _, service := range services {
		names = append(names, service.Name)
	}
	return names, err
}

func route() (any, error) {
	found, err := routerpb.NewRouterService("router", client.DefaultClient).Lookup(
		ctx, &routerpb.LookupRequest{Service: "greeter"}, client.WithAuthToken())
	if err != nil {
		return nil, err
	}
	return []any{found.Routes[0].Service, found.Routes[0].Network, found.Routes[0].Link, found.Routes[0].Metric}, nil
}

func look() (any, error) {
	found, err := networkpb.NewNetworkService("network", client.DefaultClient).Routes(
		ctx, &networkpb.RoutesRequest{}, client.WithAuthToken())
	var names []string
	for _, route := range found.GetRoutes() {
		names = append(names, route.Service)
	}
	return names, err
}

func ask() (any, error) {
	healthy := map[string]string{}
	for _, name := range []string{"auth", "broker", "config", "events", "network", "registry", "router", "runtime", "store"} {
		service := debugpb.NewDebugService(name, client.DefaultClient)
		health, err := service.Health(ctx, &debugpb.HealthRequest{}, client.WithAuthToken())
		if err != nil {
			return healthy, err
		}
		stats, err := service.Stats(ctx, &debugpb.StatsRequest{}, client.WithAuthToken())
		if err != nil {
			return healthy, err
		}
		healthy[name] = health.Status
		if stats.Memory == 0 || stats.Threads == 0 {
			healthy[name] = "no figures"
		}
	}
	return healthy, nil
}

func listRunning() (any, error) {
	running, err := runtime.Read(runtime.ReadNamespace("go"))
	var names []string
	for _, service := range running {
		names = append(names, service.Name+" "+service.Status.String())
	}
	return names, err
}

func call() (any, error) {
	request := client.NewRequest("greeter", "Greeter.Call", map[string]any{"name": "Go"}, client.WithContentType("application/json"))
	var reply map[string]any
	err := client.Call(ctx, request, &reply, client.WithAuthToken())
	return reply, err
}

func callNobody() (any, error) {
	request := client.NewRequest("nobody", "Nobody.Call", map[string]any{}, client.WithContentType("application/json"))
	var reply map[string]any
	err := client.Call(ctx, request, &reply, client.WithAuthToken())
	said := microerrors.FromError(err)
	return []any{said.Code, said.Detail}, nil
}
