package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"opfeed/cs"
	"opfeed/internal/envconf"
)

// Stores are what a command works with: the containers, found as the service wants
// them, and Cluster Service.
type Stores struct {
	Resources   *azcosmos.ContainerClient
	Leases      *azcosmos.ContainerClient
	LeasePrefix string     // as the replicas of this configuration have it
	CS          *cs.Client // nil where no URL is configured

	service *Service
	client  *azcosmos.Client
}

// LoadForCommand is Load for what runs for a moment: Cluster Service may be left
// out.
func LoadForCommand(environ []string) (Config, error) {
	c := DefaultConfig()
	err := envconf.Load(&c, environ, Prefix)
	absent := c.CS.URL == ""
	if absent {
		c.CS.URL = "https://cluster-service.invalid" // for Validate
	}
	if err := envconf.Join(err, c.Validate()); err != nil {
		return Config{}, err
	}
	if absent {
		c.CS.URL = ""
	}
	return c, nil
}

// Open finds Cosmos DB, once: what is absent is an error. It opens no locks, no
// partition keys and no billing, and logs and counts nothing. Close it.
func Open(ctx context.Context, cfg Config, deps Deps) (*Stores, error) {
	cfg.Cosmos.Locks, cfg.Cosmos.PartitionKeys, cfg.Cosmos.Billing = "", "", ""
	s := &Service{cfg: cfg, deps: deps, log: zap.NewNop(), registry: prometheus.NewRegistry(), transport: deps.Cosmos}
	var err error
	if s.meter, err = newMeter(s.registry, cfg.Cosmos); err != nil {
		return nil, fmt.Errorf("make meter: %w", err)
	}
	if err := s.cosmosClient(); err != nil {
		return nil, err
	}
	if cfg.CS.URL != "" {
		if err := s.clusterServiceClient(); err != nil {
			return nil, err
		}
	}
	st, err := s.connect(ctx)
	if err != nil {
		s.closeClients()
		return nil, errors.New("cosmos db: " + reason(err))
	}
	return &Stores{Resources: st.resources, Leases: st.leases, LeasePrefix: st.leasePrefix, CS: s.cs, service: s, client: st.client}, nil
}

// Close gives back what Open has taken.
func (st *Stores) Close() {
	st.client.Close()
	st.service.closeClients()
}
