package operator

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/cs"
	"opfeed/internal/logkey"
	"opfeed/leases"
	"opfeed/processor"
	"opfeed/processor/feed"
	"opfeed/processor/operations"
)

// Deps are what an Operator works with.
type Deps struct {
	Resources   *azcosmos.ContainerClient // operations and resources
	Leases      *azcosmos.ContainerClient // leases and quarantine records
	LeasePrefix string                    // as the replicas have it; see leases.Prefix
	LeaseExpiry time.Duration             // as the replicas have it; 0 is the default
	CS          *cs.Client                // nil: Cluster Service is not asked
}

// Operator answers an operator's commands. Safe for concurrent use.
type Operator struct {
	viewer  *operations.Viewer
	records *processor.Records
	leases  *leases.Store
	feed    *feed.Reader
	expiry  time.Duration
	tells   bool // ARM is told of outcomes
}

// New returns an Operator. It does no I/O.
func New(cfg operations.Config, deps Deps) (*Operator, error) {
	if deps.Leases == nil || deps.LeasePrefix == "" {
		return nil, errors.New("configure operator: the container of leases and their prefix are required")
	}
	viewer, err := operations.NewViewer(cfg, operations.Deps{Resources: deps.Resources, CS: deps.CS})
	if err != nil {
		return nil, fmt.Errorf("configure operator: %w", err)
	}
	return &Operator{
		viewer:  viewer,
		records: processor.NewRecords(deps.Leases, deps.LeasePrefix),
		leases:  leases.NewStore(deps.Leases, deps.LeasePrefix),
		feed:    feed.NewReader(deps.Resources, 1, leaseTimeout),
		expiry:  cmp.Or(deps.LeaseExpiry, leases.DefaultConfig().Expiry),
		tells:   cfg.Outbox.Enabled,
	}, nil
}

// refusal is an answer that is no result: its text is for people as it is.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// Words is what may be shown of an error of this package, or of the connecting
// before it: neither what a server echoes, nor what a terminal would obey.
func Words(err error) string {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.text
	}
	return shown(logkey.Words(err), maxMessage)
}

// partitions are the partition keys to try for a subscription that a person gives,
// since front ends store them in lower case; "" stands for all.
func partitions(subscription string) []string {
	if lower := strings.ToLower(subscription); lower != subscription {
		return []string{subscription, lower}
	}
	return []string{subscription}
}
