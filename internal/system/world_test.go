package system_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"opfeed/cs/cssim"
	"opfeed/internal/cosmosemu"
	"opfeed/internal/envconf"
	"opfeed/internal/inproc"
	"opfeed/internal/service"
	"opfeed/internal/workload"
)

const (
	database = "opfeed"
	frontEnd = 0 // as a client; replicas count from 1
	speed    = 60
)

// world is one emulated account and one simulated Cluster Service.
type world struct {
	t      *testing.T
	name   string
	cosmos *cosmosemu.Server
	cs     *cssim.Server
	starts int
	twins  bool              // all replicas have one name
	notify http.RoundTripper // of the next replica, to ARM; nil: nobody asks for it
	arm    *workload.ARM     // what the front end's operations ask to be told; nil: nothing
	log    *zap.Logger       // nil: the test's
	tune   func(*service.Config)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t:      t,
		name:   strings.ToLower(strings.NewReplacer("/", "-", "=", "-").Replace(t.Name())),
		cosmos: cosmosemu.New(cosmosemu.Options{}),
		// Credentials live for a day: a clock that is an hour off must not end them.
		cs: cssim.New(cssim.Options{Speed: speed, Seed: 1, FailureRate: 0.1, Durations: cssim.Durations{
			CredentialLife: cssim.Between{Min: speed * 24 * time.Hour, Max: speed * 24 * time.Hour},
		}}),
	}
	off, lock := int32(-1), int32(10)
	if err := w.cosmos.Create(database,
		cosmosemu.Container{ID: "Resources", PartitionKey: "/partitionKey", DefaultTTL: &off},
		cosmosemu.Container{ID: "Leases", PartitionKey: "/id", DefaultTTL: &off},
		cosmosemu.Container{ID: "Locks", PartitionKey: "/id", DefaultTTL: &lock},
		cosmosemu.Container{ID: "Billing", PartitionKey: "/subscriptionId"},
		cosmosemu.Container{ID: "PartitionKeys", PartitionKey: "/partitionKey", DefaultTTL: &off},
	); err != nil {
		t.Fatal(err)
	}
	return w
}

// cosmosURL is the account's address for one client. azcosmos holds a mutex for
// each address while it reads a container's properties: with one address for
// all, a client whose request hangs would stop the clock for the others. They
// differ in the port alone, since the ids of leases begin with the host: with a
// host each the replicas would share no lease.
func (w *world) cosmosURL(client int) string {
	return fmt.Sprintf("http://%s.cosmos.test:%d", w.name, 8000+client)
}

func (w *world) csURL() string { return "http://" + w.name + ".cs.test" }

// replica is one process, as far as a test can tell.
type replica struct {
	*service.Service
	registry *prometheus.Registry
	stop     func()
}

// start runs a replica whose requests to Cosmos DB go through a transport.
func (w *world) start(cosmos policy.Transporter) *replica {
	w.t.Helper()
	w.starts++
	cfg := service.DefaultConfig()
	name := fmt.Sprintf("replica-%d", w.starts)
	cfg.Cosmos.Endpoint, cfg.Cosmos.Key, cfg.Cosmos.Database = w.cosmosURL(w.starts), envconf.Secret(cosmosemu.WellKnownKey), database
	cfg.Cosmos.Locks, cfg.Cosmos.PartitionKeys = "Locks", "PartitionKeys"
	cfg.Cosmos.Billing, cfg.Location = "Billing", "westeurope"
	cfg.CS.URL = w.csURL()
	cfg.Instance = name
	if w.twins {
		cfg.Instance = "twin"
	}
	cfg.Listen, cfg.AdminListen = "", ""
	if w.tune != nil {
		w.tune(&cfg)
	}
	log := w.log
	if log == nil {
		log = zaptest.NewLogger(w.t, zaptest.Level(zap.WarnLevel)).Named(cfg.Instance)
	}
	registry := prometheus.NewRegistry()
	s, err := service.New(cfg, service.Deps{
		Cosmos:   cosmos,
		CS:       inproc.New(w.cs),
		ARM:      w.notify,
		Registry: registry,
		Log:      log,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := s.Run(ctx)
		// One that was killed, or whose requests fail, cannot give back in time.
		_, healthy := cosmos.(*inproc.Transport)
		if m, isMortal := cosmos.(*mortal); isMortal {
			healthy = !m.dead.Load()
		}
		if err != nil && healthy {
			w.t.Errorf("%s: %v", cfg.Instance, err)
		}
	}()
	r := &replica{Service: s, registry: registry, stop: func() { cancel(); <-ended }}
	w.t.Cleanup(r.stop)
	return r
}

// frontEnd makes operations and says in the end what became of them.
func (w *world) frontEnd(change func(*workload.Config)) *workload.FrontEnd {
	w.t.Helper()
	cfg := workload.DefaultConfig()
	cfg.Billing = "Billing"
	cfg.CosmosURL, cfg.CosmosKey, cfg.ClusterServiceURL = w.cosmosURL(frontEnd), cosmosemu.WellKnownKey, w.csURL()
	cfg.Database = database
	change(&cfg)
	f, err := workload.New(cfg, workload.Deps{
		CosmosTransport:         inproc.New(w.cosmos),
		ClusterServiceTransport: inproc.New(w.cs),
		ServiceTransport:        inproc.New(http.NotFoundHandler()),
		ARM:                     w.arm,
		Say:                     w.t.Logf,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// tellsARM lets the front end's operations ask that ARM be told, which does not
// take the first try of any.
func (w *world) tellsARM() {
	w.arm = workload.NewARM(1)
	w.notify = inproc.New(w.arm)
}

// want checks a report: at least so many operations, none lost or mismatched.
func (w *world) want(r workload.Report, operations int) {
	w.t.Helper()
	o := r.Operations
	if o.Created < operations || o.Terminal != o.Created || r.Lost() {
		w.t.Errorf("want at least %d operations, all terminal and right; got %+v %v", operations, o, r.Mismatches)
	}
}

// mortal is a transport that dies at the n-th write, before or after the write
// is applied; n of 0 only counts.
type mortal struct {
	next    policy.Transporter
	n       int64
	applied bool

	writes atomic.Int64
	dead   atomic.Bool
}

var errDead = errors.New("process was killed")

// Do implements policy.Transporter.
func (m *mortal) Do(req *http.Request) (*http.Response, error) {
	if m.dead.Load() {
		return nil, errDead
	}
	if isWrite(req) && m.writes.Add(1) == m.n {
		m.dead.Store(true)
		if m.applied {
			if resp, err := m.next.Do(req); err == nil {
				_ = resp.Body.Close()
			}
		}
		return nil, errDead
	}
	resp, err := m.next.Do(req)
	if m.dead.Load() {
		return nil, errDead // replies find nobody
	}
	return resp, err
}

func isWrite(req *http.Request) bool {
	switch req.Method {
	case http.MethodGet, http.MethodHead:
		return false
	case http.MethodPost:
		return !strings.EqualFold(req.Header.Get("x-ms-documentdb-query"), "true")
	default:
		return true
	}
}

const settle = 15 * time.Second // a lease that was not given back has expired
