// Krakend runs a configuration of KrakenD for the tests of deploy/gateways. It consists of KrakenD's router and proxy (Lura) and its
// verification of access tokens (krakend-jose), without the parts of KrakenD that the recipe does not use.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	jose "github.com/krakendio/krakend-jose/v2"
	ginjose "github.com/krakendio/krakend-jose/v2/gin"
	"github.com/luraproject/lura/v2/config"
	"github.com/luraproject/lura/v2/logging"
	"github.com/luraproject/lura/v2/proxy"
	"github.com/luraproject/lura/v2/router/gin"
	"github.com/luraproject/lura/v2/transport/http/server"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	// The aliases of the namespaces in KrakenD's configuration files.
	config.ExtraConfigAlias["router"] = gin.Namespace
	config.ExtraConfigAlias["auth/validator"] = jose.ValidatorNamespace

	service, err := config.NewParser().Parse(os.Args[1])
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	service.Normalize() // resolves the aliases
	log, err := logging.NewLogger("WARNING", os.Stderr, "krakend")
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	gin.NewFactory(gin.Config{
		Engine:         gin.NewEngine(service, gin.EngineOptions{Logger: log, Writer: os.Stderr}),
		HandlerFactory: ginjose.HandlerFactory(gin.EndpointHandler, log, jose.NopRejecterFactory{}),
		ProxyFactory:   proxy.DefaultFactory(log),
		Logger:         log,
		RunServer:      server.RunServer,
	}).NewWithContext(ctx).Run(service)
	return nil
}
