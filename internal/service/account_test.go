package service

import (
	"cmp"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"opfeed/internal/inproc"
)

// account is as much of a Cosmos DB account as start-up asks for. Documents it
// has none, and says so with 503.
type account struct {
	absent     atomic.Bool // connections are refused
	database   atomic.Pointer[string]
	containers map[string]containerSpec
	requests   atomic.Int64
}

type containerSpec struct {
	key     string
	ttl     *int
	kind    string // "": Hash
	version int    // 0: 2
}

func newAccount() *account {
	on := -1
	a := &account{containers: map[string]containerSpec{
		"Resources": {key: "/partitionKey"}, "Leases": {key: "/id", ttl: &on}, "Locks": {key: "/id", ttl: &on},
		"Billing": {key: "/subscriptionId"},
	}}
	name := "db"
	a.database.Store(&name)
	return a
}

func refused() error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

// RoundTrip lets an account stand in for the network.
func (a *account) RoundTrip(r *http.Request) (*http.Response, error) {
	a.requests.Add(1)
	if a.absent.Load() {
		return nil, refused()
	}
	return inproc.New(a).RoundTrip(r)
}

// Do is RoundTrip for azcore.
func (a *account) Do(r *http.Request) (*http.Response, error) { return a.RoundTrip(r) }

func (a *account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Ms-Request-Charge", "1.5")
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	var reply any
	switch {
	case r.URL.Path == "/" || r.URL.Path == "":
		here := []map[string]string{{"name": "local", "databaseAccountEndpoint": "http://" + r.Host}}
		reply = map[string]any{"writableLocations": here, "readableLocations": here}
	case len(parts) == 2 && parts[1] == *a.database.Load():
		reply = map[string]any{"id": parts[1], "_rid": "DBRID=="}
	case len(parts) == 4 && a.containers[parts[3]].key != "":
		c := a.containers[parts[3]]
		reply = map[string]any{"id": parts[3], "_rid": "CRID" + parts[3], "defaultTtl": c.ttl,
			"partitionKey": map[string]any{
				"paths": strings.Split(c.key, ","), "kind": cmp.Or(c.kind, "Hash"), "version": cmp.Or(c.version, 2)}}
	case len(parts) > 4:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	default:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(reply)
}

// host is a host name of its own for each test: azcosmos caches by host.
func host(t *testing.T, kind string) string {
	return "http://" + strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name())) + "." + kind + ".test"
}

func testConfig(t *testing.T) Config {
	c := DefaultConfig()
	c.Cosmos.Endpoint, c.Cosmos.Database, c.Cosmos.Key = host(t, "cosmos"), "db", marker
	c.Cosmos.Locks = "Locks"
	c.Cosmos.Billing, c.Location = "Billing", "westeurope"
	c.CS.URL = host(t, "cs")
	c.Instance = "replica-1"
	c.Listen, c.AdminListen = "", ""
	return c
}

// clusterService knows no cluster, and says so as Cluster Service does.
type clusterService struct{ absent atomic.Bool }

func (c *clusterService) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.absent.Load() {
		return nil, refused()
	}
	return inproc.New(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"kind":"Error","id":"404","code":"CLUSTERS-MGMT-404","reason":"Cluster not found"}`))
	})).RoundTrip(r)
}

func TestRequirements(t *testing.T) {
	on, month := -1, 3600
	for name, c := range map[string]struct {
		spoil   func(*account, *Config)
		problem string
	}{
		"as wanted": {func(*account, *Config) {}, ""},
		"no locks":  {func(a *account, c *Config) { c.Cosmos.Locks = ""; delete(a.containers, "Locks") }, ""},
		"no database": {func(_ *account, c *Config) { c.Cosmos.Database = "other" },
			`database "other" (OPFEED_COSMOS_DATABASE) does not exist: create it, or name another`},
		"no resources": {func(a *account, _ *Config) { delete(a.containers, "Resources") },
			`container "Resources" (OPFEED_COSMOS_RESOURCES_CONTAINER) does not exist: create it, or name another`},
		"no partition keys": {func(_ *account, c *Config) { c.Cosmos.PartitionKeys = "PartitionKeys" },
			`container "PartitionKeys" (OPFEED_COSMOS_PARTITION_KEYS_CONTAINER) does not exist: create it, or name another`},
		"resources by id": {func(a *account, _ *Config) { a.containers["Resources"] = containerSpec{key: "/id"} },
			`container "Resources" (OPFEED_COSMOS_RESOURCES_CONTAINER) has partition key /id, want /partitionKey: name another container, or create it anew`},
		"resources by two": {func(a *account, _ *Config) {
			a.containers["Resources"] = containerSpec{key: "/partitionKey,/id", kind: "MultiHash"}
		}, `container "Resources" (OPFEED_COSMOS_RESOURCES_CONTAINER) has partition key /partitionKey,/id, want /partitionKey: name another container, or create it anew`},
		"resources of another kind": {func(a *account, _ *Config) {
			a.containers["Resources"] = containerSpec{key: "/partitionKey", kind: "Range"}
		}, `container "Resources" (OPFEED_COSMOS_RESOURCES_CONTAINER) has a partition key of kind Range, version 2, want Hash, version 2: name another container, or create it anew`},
		"resources of version 1": {func(a *account, _ *Config) {
			a.containers["Resources"] = containerSpec{key: "/partitionKey", version: 1}
		}, `container "Resources" (OPFEED_COSMOS_RESOURCES_CONTAINER) has a partition key of kind Hash, version 1, want Hash, version 2: name another container, or create it anew`},
		"leases of version 1": {func(a *account, _ *Config) { a.containers["Leases"] = containerSpec{key: "/id", ttl: &on, version: 1} }, ""},
		"leases by pk": {func(a *account, _ *Config) { a.containers["Leases"] = containerSpec{key: "/pk", ttl: &on} },
			`container "Leases" (OPFEED_COSMOS_LEASES_CONTAINER) has partition key /pk, want /id: name another container, or create it anew`},
		"leases without ttl": {func(a *account, _ *Config) { a.containers["Leases"] = containerSpec{key: "/id"} },
			`container "Leases" (OPFEED_COSMOS_LEASES_CONTAINER) has time to live off: set its default time to live to -1, which is on without a default`},
		"leases that expire": {func(a *account, _ *Config) { a.containers["Leases"] = containerSpec{key: "/id", ttl: &month} },
			`container "Leases" (OPFEED_COSMOS_LEASES_CONTAINER) deletes what is not written for 3600 s, leases and positions included: set its default time to live to -1, which is on without a default`},
		"no billing": {func(a *account, c *Config) { c.Cosmos.Billing = ""; delete(a.containers, "Billing") }, ""},
		"no container for billing": {func(a *account, _ *Config) { delete(a.containers, "Billing") },
			`container "Billing" (OPFEED_COSMOS_BILLING_CONTAINER) does not exist: create it, or name another`},
		"billing by pk": {func(a *account, _ *Config) { a.containers["Billing"] = containerSpec{key: "/partitionKey"} },
			`container "Billing" (OPFEED_COSMOS_BILLING_CONTAINER) has partition key /partitionKey, want /subscriptionId: name another container, or create it anew`},
		"locks without ttl": {func(a *account, _ *Config) { a.containers["Locks"] = containerSpec{key: "/id"} },
			`container "Locks" (OPFEED_COSMOS_LOCKS_CONTAINER) has time to live off: set its default time to live to -1, which is on without a default`},
	} {
		t.Run(name, func(t *testing.T) {
			a, cfg := newAccount(), testConfig(t)
			cfg.Cosmos.Endpoint = strings.ReplaceAll(cfg.Cosmos.Endpoint, " ", "-")
			c.spoil(a, &cfg)
			s, err := New(cfg, Deps{Cosmos: a, CS: &clusterService{}})
			if err != nil {
				t.Fatal(err)
			}
			st, err := s.connect(t.Context())
			if c.problem == "" {
				if err != nil {
					t.Fatal(err)
				}
				st.client.Close()
				host := strings.TrimPrefix(cfg.Cosmos.Endpoint, "http://")
				if want := "opfeed" + host + "_DBRID==_CRIDResources"; st.leasePrefix != want {
					t.Errorf("lease prefix %q, want %q", st.leasePrefix, want)
				}
				return
			}
			var setup *setupError
			if !errors.As(err, &setup) || setup.Error() != c.problem {
				t.Errorf("have %v\nwant %s", err, c.problem)
			}
		})
	}
}
