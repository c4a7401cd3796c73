package main

import (
	"context"
	"fmt"
	"io"

	"opfeed/internal/operator"
	"opfeed/internal/service"
)

// withOperator opens what a command works with, and explains why it failed.
func withOperator(ctx context.Context, stderr io.Writer, environ []string, do func(*operator.Operator) error) int {
	cfg, err := service.LoadForCommand(environ)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "opfeed: wrong configuration (see opfeed config):\n%v\n", err)
		return exitUsage
	}
	stores, err := service.Open(ctx, cfg, service.Deps{})
	if err == nil {
		defer stores.Close()
		var o *operator.Operator
		if o, err = newOperator(cfg, stores); err == nil {
			err = do(o)
		}
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "opfeed: %s\n", operator.Words(err))
		return exitFailure
	}
	return exitOK
}

func newOperator(cfg service.Config, stores *service.Stores) (*operator.Operator, error) {
	return operator.New(cfg.Operations, operator.Deps{
		Resources: stores.Resources, Leases: stores.Leases, LeasePrefix: stores.LeasePrefix, LeaseExpiry: cfg.Leases.Expiry, CS: stores.CS})
}
