package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"opfeed/internal/purpose"
	"opfeed/processor/status"
)

// replica is a service under test inside a bubble.
type replica struct {
	*Service
	logs   *observer.ObservedLogs
	stop   context.CancelFunc
	result chan error
}

// start runs a service, whose engine parts may replace.
func start(t *testing.T, cfg Config, deps Deps, replace ...func(*Service)) *replica {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	deps.Log = zap.New(core)
	s, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range replace {
		f(s)
	}
	ctx, stop := context.WithCancel(t.Context())
	r := &replica{Service: s, logs: logs, stop: stop, result: make(chan error, 1)}
	go func() { r.result <- s.Run(ctx) }()
	return r
}

func (r *replica) get(path string) (int, string) {
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// ask is get on the operators' side.
func (r *replica) ask(path string) (int, string) {
	w, req := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil)
	req.Host = "localhost"
	r.AdminHandler().ServeHTTP(w, req)
	return w.Code, w.Body.String()
}

// conditions returns what /readyz says of each condition: "ok" or the reason.
func (r *replica) conditions(t *testing.T) (int, map[string]string) {
	t.Helper()
	code, body := r.get("/readyz")
	var answer struct {
		Ready      bool
		Conditions []Condition
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if answer.Ready != (code == http.StatusOK) {
		t.Errorf("ready is %t with status %d", answer.Ready, code)
	}
	all := map[string]string{}
	for _, c := range answer.Conditions {
		all[c.Name] = c.Reason
		if c.OK {
			all[c.Name] = "ok"
		}
	}
	return code, all
}

func (r *replica) logged(condition, reason string) int {
	n := 0
	for _, e := range r.logs.All() {
		if f := e.ContextMap(); f["condition"] == condition && (f["reason"] == reason || reason == "" && f["reason"] == nil) {
			n++
		}
	}
	return n
}

// idle replaces the engine where only the service around it is of interest. It is
// ready once listed is set.
func idle(listed *atomic.Bool) func(*Service) {
	return func(s *Service) {
		s.wire = func(*stores) (*engine, error) {
			return &engine{
				run:   func(ctx context.Context) error { <-ctx.Done(); return nil },
				fresh: func() error { return nil },
				settled: func() error {
					if !listed.Load() {
						return errors.New("leases not listed yet")
					}
					return nil
				},
				snapshot: func() status.Snapshot {
					return status.Snapshot{Instance: s.cfg.Instance, Ranges: []status.Range{}}
				},
				changes:       func() []status.Change { return nil },
				subscriptions: func() map[string]int { return map[string]int{"Registered": 2} },
			}, nil
		}
	}
}

func TestAbsentThenPresentThenAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		account, clusters := newAccount(), &clusterService{}
		account.absent.Store(true)
		clusters.absent.Store(true)
		var listed atomic.Bool
		r := start(t, testConfig(t), Deps{Cosmos: account, CS: clusters}, idle(&listed))

		pause(t.Context(), 10*time.Minute)
		code, is := r.conditions(t)
		if code != http.StatusServiceUnavailable || is["cosmos"] != "dial: connect: connection refused" ||
			is["leases"] != "not known yet" || !strings.Contains(is["cluster_service"], "connection refused") {
			t.Errorf("absent: have %d, %v", code, is)
		}
		if code, body := r.get("/healthz"); code != http.StatusOK || body != "ok\n" {
			t.Errorf("not healthy: %d %s", code, body)
		}
		if n := r.logged("cosmos", "dial: connect: connection refused"); n != 1 {
			t.Errorf("logged %d times why cosmos is absent, want once", n)
		}
		// Ten minutes at up to 15 s between tries, each of which is a few requests.
		if n := account.requests.Load(); n < 40 || n > 800 {
			t.Errorf("%d requests in ten minutes", n)
		}

		other := "other"
		account.database.Store(&other)
		account.absent.Store(false)
		clusters.absent.Store(false)
		pause(t.Context(), time.Minute)
		code, is = r.conditions(t)
		if code != http.StatusServiceUnavailable || is["cluster_service"] != "ok" ||
			is["cosmos"] != `database "db" (OPFEED_COSMOS_DATABASE) does not exist: create it, or name another` {
			t.Errorf("no database: have %d, %v", code, is)
		}

		db := "db"
		account.database.Store(&db)
		pause(t.Context(), 20*time.Second)
		code, is = r.conditions(t)
		if code != http.StatusServiceUnavailable || is["cosmos"] != "ok" || is["leases"] != "leases not listed yet" {
			t.Errorf("before the leases are known: have %d, %v", code, is)
		}
		listed.Store(true)
		pause(t.Context(), 2*time.Second)
		if code, is = r.conditions(t); code != http.StatusOK {
			t.Errorf("all there: have %d, %v", code, is)
		}
		if n := r.logged("cosmos", ""); n != 1 {
			t.Errorf("logged %d times that cosmos works, want once", n)
		}

		clusters.absent.Store(true)
		pause(t.Context(), time.Minute)
		// All replicas see that alike, and none would be better off elsewhere.
		if code, is = r.conditions(t); code != http.StatusOK || is["cluster_service"] == "ok" {
			t.Errorf("cluster service gone: have %d, %v", code, is)
		}
		clusters.absent.Store(false)
		pause(t.Context(), time.Minute)
		if code, is = r.conditions(t); code != http.StatusOK {
			t.Errorf("cluster service back: have %d, %v", code, is)
		}

		r.stop()
		if err := <-r.result; err != nil {
			t.Error(err)
		}
		if code, is = r.conditions(t); code != http.StatusServiceUnavailable || is["running"] != "shutting down" {
			t.Errorf("stopped: have %d, %v", code, is)
		}
	})
}

// TestStopBeforeCosmosIsThere: nothing holds a stop up, and nothing stays behind,
// which the bubble checks.
func TestStopBeforeCosmosIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		account := newAccount()
		account.absent.Store(true)
		r := start(t, testConfig(t), Deps{Cosmos: account, CS: &clusterService{}})
		pause(t.Context(), time.Minute)
		began := time.Now()
		r.stop()
		if err := <-r.result; err != nil || time.Since(began) > time.Second {
			t.Errorf("stopped after %v with %v", time.Since(began), err)
		}
	})
}

// TestRealEngineStopsWhileCosmosFails wires the real processor against an account
// that answers 503 to every document.
func TestRealEngineStopsWhileCosmosFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, testConfig(t), Deps{Cosmos: newAccount(), CS: &clusterService{}})
		pause(t.Context(), time.Minute)
		if code, is := r.conditions(t); code != http.StatusServiceUnavailable || is["cosmos"] != "answered 503 Service Unavailable" {
			t.Errorf("have %d, %v", code, is)
		}
		began := time.Now()
		r.stop()
		if err := <-r.result; err != nil || time.Since(began) > 8*time.Second {
			t.Errorf("stopped after %v with %v", time.Since(began), err)
		}
	})
}

func TestShutdownTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := start(t, testConfig(t), Deps{Cosmos: newAccount(), CS: &clusterService{}}, func(s *Service) {
			s.wire = func(*stores) (*engine, error) {
				return &engine{
					run:           func(context.Context) error { <-release; return nil },
					settled:       func() error { return nil },
					fresh:         func() error { return nil },
					snapshot:      func() status.Snapshot { return status.Snapshot{} },
					changes:       func() []status.Change { return nil },
					subscriptions: func() map[string]int { return nil },
				}, nil
			}
		})
		pause(t.Context(), time.Minute)
		began := time.Now()
		r.stop()
		if err := <-r.result; !errors.Is(err, errLate) || time.Since(began) != r.cfg.ShutdownTimeout {
			t.Errorf("stopped after %v with %v", time.Since(began), err)
		}
		close(release)
		r.closeClients()
	})
}

func TestSurfaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(t)
		cfg.CS.Auth, cfg.CS.Token = "token", "eyJhbGciOiJub25lIn0.e30."+marker // a JWT by its first two parts: {"alg":"none"}, {}
		cfg.CS.URL = "http://127.0.0.1:1"
		cfg.Cosmos.RUBudget = 4000
		var listed atomic.Bool
		listed.Store(true)
		r := start(t, cfg, Deps{Cosmos: newAccount(), CS: &clusterService{}}, idle(&listed))

		// Before Cosmos DB was found, a snapshot has the same shape.
		for _, when := range []string{"before", "after"} {
			_, body := r.ask("/api/v1/snapshot")
			var snap map[string]any
			if err := json.Unmarshal([]byte(body), &snap); err != nil {
				t.Fatal(err)
			}
			facts, _ := snap["service"].(map[string]any)
			if _, ok := snap["ranges"].([]any); !ok || snap["instance"] != "replica-1" || facts == nil {
				t.Fatalf("%s: have %s", when, body)
			}
			uses, _ := facts["cosmos"].(map[string]any)
			for _, use := range purpose.All() {
				if _, ok := uses[string(use)]; !ok {
					t.Errorf("%s: no usage of %s in %s", when, use, body)
				}
			}
			if build, _ := facts["build"].(map[string]any); build["version"] == "" || build["goVersion"] == "" {
				t.Errorf("%s: no build in %s", when, body)
			}
			pause(t.Context(), 3*time.Second)
		}
		if snap := r.Snapshot(); snap.Service.Cosmos[string(purpose.Metadata)].RequestUnits < 1.5 || snap.Service.Subscriptions["Registered"] != 2 {
			t.Errorf("have %+v", snap.Service)
		}

		_, metrics := r.get("/metrics")
		for _, series := range []string{
			`opfeed_build_info{`, `opfeed_ready `, `opfeed_condition{condition="cosmos"} 1`, `opfeed_condition{condition="leases"} 1`, `opfeed_condition{condition="feed"} 1`,
			`opfeed_cosmos_request_units_total{container="resources",purpose="feed"} 0`,
			`opfeed_cosmos_request_units_total{container="leases",purpose="lease_list"} 0`,
			`opfeed_cosmos_requests_total{code="200",container="resources",purpose="feed"} 0`,
			`opfeed_cosmos_requests_total{code="429",container="resources",purpose="operation"} 0`,
			`opfeed_cosmos_requests_total{code="error",container="leases",purpose="lease"} 0`, `go_goroutines `, `process_start_time_seconds `,
			`opfeed_cluster_service_requests_total{`,
			`opfeed_cosmos_request_duration_seconds_count{container="resources",purpose="feed"} 0`, `opfeed_cosmos_request_units_budget 4000`,
		} {
			if !strings.Contains(metrics, series) {
				t.Errorf("no %s in /metrics", series)
			}
		}
		w := httptest.NewRecorder()
		if r.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/readyz", nil)); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST: status %d", w.Code)
		}

		r.stop()
		if err := <-r.result; err != nil {
			t.Error(err)
		}
		// A minute of work, seen from all sides, and no secret.
		_, ready := r.get("/readyz")
		_, snap := r.ask("/api/v1/snapshot")
		for _, shown := range []string{metrics, ready, snap, fmt.Sprint(r.logs.All()), fmt.Sprintf("%+v", r.cfg)} {
			if strings.Contains(shown, marker) || strings.Contains(shown, "HMAC") {
				t.Errorf("a secret shows in %s", shown)
			}
		}
	})
}

// TestSocket serves on a real socket, and closes it.
func TestSocket(t *testing.T) {
	// A dependency of the Cluster Service client starts this one for good.
	goleak.VerifyNone(t, goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
	defer goleak.VerifyNone(t, goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(t)
	r := start(t, cfg, Deps{Cosmos: newAccount(), CS: &clusterService{}, Listener: l})
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	url := "http://" + l.Addr().String() + "/healthz"
	reply, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(reply.Body)
	if err := errors.Join(err, reply.Body.Close()); err != nil || string(body) != "ok\n" {
		t.Errorf("have %q, %v", body, err)
	}

	// A second replica on this address ends at once and says why.
	cfg.Listen = l.Addr().String()
	second := start(t, cfg, Deps{Cosmos: newAccount(), CS: &clusterService{}})
	if err := <-second.result; err == nil || !strings.Contains(err.Error(), "listen") {
		t.Errorf("second replica: %v", err)
	}

	r.stop()
	if err := <-r.result; err != nil {
		t.Error(err)
	}
	if _, err := client.Get(url); err == nil {
		t.Error("still serving")
	}
}
