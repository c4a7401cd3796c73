package cs_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"opfeed/cs"
	"opfeed/internal/envconf"
	"opfeed/internal/inproc"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}

var (
	clusterRef = cs.Ref{Kind: cs.Cluster, Cluster: "c"}
	poolRef    = cs.Ref{Kind: cs.NodePool, Cluster: "c", Child: "p"}
	authRef    = cs.Ref{Kind: cs.ExternalAuth, Cluster: "c", Child: "e"}
	credRef    = cs.Ref{Kind: cs.BreakGlassCredential, Cluster: "c", Child: "b"}
)

// rig is a client on a handler, with what it logs and counts.
type rig struct {
	*cs.Client
	logs     *observer.ObservedLogs
	registry *prometheus.Registry
}

func newRig(t *testing.T, h http.Handler, change ...func(*cs.Config)) *rig {
	t.Helper()
	return newRigOver(t, inproc.New(h), change...)
}

// newRigOver works for a nil transport, too: the network.
func newRigOver(t *testing.T, transport http.RoundTripper, change ...func(*cs.Config)) *rig {
	t.Helper()
	cfg := cs.DefaultConfig()
	cfg.URL = "http://cluster-service.test"
	cfg.UserAgent = "opfeed/test"
	for _, f := range change {
		f(&cfg)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	registry := prometheus.NewRegistry()
	client, err := cs.New(cfg, cs.Deps{Log: zap.New(core), Metrics: registry, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return &rig{Client: client, logs: logs, registry: registry}
}

// counts gives the results that were counted at all, by kind/result.
func (r *rig) counts(t *testing.T) map[string]float64 {
	t.Helper()
	return r.counter(t, "opfeed_cluster_service_requests_total")
}

// counter gives what a counter counted at all, by its labels.
func (r *rig) counter(t *testing.T, name string) map[string]float64 {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			if v := m.GetCounter().GetValue(); v > 0 {
				counts[strings.Join(labels, "/")] = v
			}
		}
	}
	return counts
}

// static answers everything with one reply.
func static(status int, contentType, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(status)
		w.Write([]byte(body))
	}
}

// hang answers nothing until the caller is gone.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// What a call told: which of the package's three kinds of failure.
const (
	fine        = "fine"
	notFound    = "not found"
	unavailable = "unavailable"
	answered    = "answered"
)

func sortOf(err error) string {
	var u *cs.UnavailableError
	switch {
	case err == nil:
		return fine
	case errors.Is(err, cs.ErrNotFound) && !errors.As(err, &u):
		return notFound
	case errors.Is(err, cs.ErrNotFound):
		return "both not found and unavailable"
	case errors.As(err, &u):
		return unavailable
	}
	return answered
}

func status(t *testing.T, c *cs.Client, ref cs.Ref) cs.Status {
	t.Helper()
	s, err := c.Status(context.WithoutCancel(t.Context()), ref)
	if err != nil {
		t.Fatalf("status of %v: %v", ref, err)
	}
	return s
}

func secretOf(text string) envconf.Secret { return envconf.Secret(text) }
