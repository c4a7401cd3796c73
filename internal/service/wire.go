package service

import (
	"context"
	"fmt"

	"github.com/sourcegraph/conc"

	"opfeed/processor"
	"opfeed/processor/operations"
	"opfeed/processor/status"
)

// engine is what runs once Cosmos DB was found.
type engine struct {
	run           func(context.Context) error // until ctx ends, and the work has
	settled       func() error                // why it is not known who reads what, or nil
	fresh         func() error                // why held ranges are not served, or nil
	snapshot      func() status.Snapshot
	changes       func() []status.Change
	subscriptions func() map[string]int
}

// newEngine puts the engine together. It does no I/O.
func (s *Service) newEngine(st *stores) (*engine, error) {
	ops, err := operations.New(s.cfg.Operations, operations.Deps{
		Resources: st.resources,
		Locks:     st.locks,
		Billing:   st.billing,
		Location:  s.cfg.Location,
		CS:        s.cs,
		Notify:    s.notify,
		Instance:  s.cfg.Instance,
		Log:       s.log,
		Metrics:   s.registry,

		Transition: func(t operations.Transition) { s.transitions.Add(status.Transition(t)) },
	})
	if err != nil {
		return nil, fmt.Errorf("make operations handler: %w", err)
	}
	registry, err := operations.NewRegistry(s.cfg.Registry, operations.RegistryDeps{
		Resources:     st.resources,
		PartitionKeys: st.partitionKeys,
		Log:           s.log,
		Metrics:       s.registry,
	})
	if err != nil {
		return nil, fmt.Errorf("make registry: %w", err)
	}
	engineCfg := s.cfg.Processor
	engineCfg.Aside = s.cfg.Notification.Concurrency // whoever runs aside has a place to send
	p, err := processor.New(engineCfg, s.cfg.Leases, adapt(ops, &s.steps), processor.Deps{
		Monitored:   st.resources,
		Leases:      st.leases,
		LeasePrefix: st.leasePrefix,
		Instance:    s.cfg.Instance,
		Page:        s.cfg.PageURL,
		Now:         s.deps.Now,
		Log:         s.log,
		Metrics:     s.registry,
		Tracing:     s.deps.Tracing,
	})
	if err != nil {
		return nil, fmt.Errorf("make processor: %w", err)
	}
	return &engine{
		run: func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			var group conc.WaitGroup
			defer group.Wait()
			defer cancel()
			group.Go(func() { _ = registry.Run(ctx) }) // returns nil
			return p.Run(ctx)
		},
		settled:       p.Settled,
		fresh:         p.Fresh,
		snapshot:      p.Snapshot,
		changes:       p.Changes,
		subscriptions: registry.Counts,
	}, nil
}
