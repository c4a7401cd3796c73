package workload

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// The first words of the User-Agents: the emulator and the simulator keep the
// service and the front end apart by them.
const (
	frontEndAgent = "frontend"
	serviceAgent  = "opfeed"
)

// Config says what the front end does and where. Zero values of Database, the
// container names and Drain take the defaults of [DefaultConfig]; the URLs and
// the key have none.
type Config struct {
	CosmosURL         string
	CosmosKey         string
	Database          string   // default "opfeed"
	Resources         string   // default "Resources"
	PartitionKeys     string   // default "PartitionKeys"
	Locks             string   // default "Locks"; "-" for none
	Billing           string   // default none: what is to be paid for is not checked
	ClusterServiceURL string   // the simulator: its journal is read, too
	ServiceURLs       []string // optional: where operators reach the replicas of the service; each has an /api/v1/snapshot

	Rate          float64       // operations a second, evenly spaced, the first at once
	Subscriptions int           // how many subscriptions the traffic is spread over
	Seed          uint64        // the same seed gives the same operations
	For           time.Duration // how long operations are started; 0 = until interrupted
	Drain         time.Duration // how long to wait, after that, until all is terminal
	Documents     string        // folder of JSON documents to load first; "" = none
	// Follow is how often the change feed is read when it is at its end, and so the
	// precision of the terminal times in the report; default 100 ms.
	Follow time.Duration
}

// Deps is what the front end needs from its surroundings. The zero value is
// usable: the network, and no words.
type Deps struct {
	CosmosTransport         policy.Transporter // nil = network
	ClusterServiceTransport http.RoundTripper  // nil = network
	ServiceTransport        http.RoundTripper  // nil = network
	ARM                     *ARM               // nil = no operation asks that ARM be told
	// Say is told, in words, what a person should know: collisions among
	// loaded documents, operations that could not be started, mismatches.
	// It is called from several goroutines.
	Say func(format string, args ...any)
}

// DefaultConfig has every default but the URLs and the key.
func DefaultConfig() Config {
	return Config{
		Database: "opfeed", Resources: "Resources", PartitionKeys: "PartitionKeys", Locks: "Locks",
		Rate: 2.5, Subscriptions: 50, Seed: 1, Drain: 60 * time.Second, Follow: 100 * time.Millisecond,
	}
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var errs []error
	need := func(name, v string) {
		if v == "" {
			errs = append(errs, fmt.Errorf("%s is missing", name))
		}
	}
	need("the Cosmos DB URL", c.CosmosURL)
	need("the Cosmos DB key", c.CosmosKey)
	need("the Cluster Service URL", c.ClusterServiceURL)
	if !(c.Rate > 0) || c.Rate > 10000 {
		errs = append(errs, fmt.Errorf("rate %v: must be above 0 and at most 10000 operations a second", c.Rate))
	}
	if c.Subscriptions < 1 {
		errs = append(errs, fmt.Errorf("subscriptions %d: must be at least 1", c.Subscriptions))
	}
	if c.For < 0 {
		errs = append(errs, fmt.Errorf("for %v: must not be negative", c.For))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	d := DefaultConfig()
	preset := func(v *string, def string) {
		if *v == "" {
			*v = def
		}
	}
	preset(&c.Database, d.Database)
	preset(&c.Resources, d.Resources)
	preset(&c.PartitionKeys, d.PartitionKeys)
	preset(&c.Locks, d.Locks)
	if c.Drain <= 0 {
		c.Drain = d.Drain
	}
	if c.Follow <= 0 {
		c.Follow = d.Follow
	}
	return c
}
