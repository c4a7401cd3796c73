package processor_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/prometheus/client_golang/prometheus"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/fault"
	"opfeed/internal/inproc"
	"opfeed/leases"
	"opfeed/processor"
	"opfeed/processor/dispatch"
)

// TestPrefixIsFound: the ids of the leases are those that .NET's tools look for,
// and a second replica finds the same ones.
func TestPrefixIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, stringKey, 2)
		l.start(inproc.New(l.emu))
		time.Sleep(5 * time.Second)
		list := func() string {
			pager := l.container(inproc.New(l.emu), "leases").NewQueryItemsPager("SELECT VALUE c.id FROM c", azcosmos.NewPartitionKey(), nil)
			var ids []string
			for pager.More() {
				page, err := pager.NextPage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, item := range page.Items {
					if id := strings.Trim(string(item), `"`); strings.Contains(id, "..") {
						ids = append(ids, id)
					}
				}
			}
			return fmt.Sprint(ids)
		}
		want := fmt.Sprintf("[%[1]s..0 %[1]s..1]", l.prefix())
		if got := list(); got != want {
			t.Errorf("leases %s, want %s", got, want)
		}
		deps := l.deps(inproc.New(l.emu))
		deps.Instance = "other"
		l.startWith(deps)
		time.Sleep(5 * time.Second)
		if got := list(); got != want {
			t.Errorf("leases with two replicas %s, want %s", got, want)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, stringKey, 1)
		for name, c := range map[string]struct {
			change  func(*processor.Deps)
			handler processor.Handler
			says    string
		}{
			"all is there":  {func(*processor.Deps) {}, processor.Each(l.each), ""},
			"a prefix":      {func(d *processor.Deps) { d.Name, d.Endpoint, d.LeasePrefix = "", "", "p" }, processor.Each(l.each), ""},
			"no containers": {func(d *processor.Deps) { d.Monitored, d.Leases = nil, nil }, processor.Each(l.each), "Leases is mandatory"},
			"no instance":   {func(d *processor.Deps) { d.Instance = "" }, processor.Each(l.each), "Instance is mandatory"},
			"no name":       {func(d *processor.Deps) { d.Name = "" }, processor.Each(l.each), "name"},
			"a wrong name":  {func(d *processor.Deps) { d.Name = "a/b" }, processor.Each(l.each), "name"},
			"no endpoint":   {func(d *processor.Deps) { d.Endpoint = "account" }, processor.Each(l.each), "Endpoint"},
			"no function":   {func(*processor.Deps) {}, processor.Each(nil), "needs a function"},
		} {
			deps := l.deps(inproc.New(l.emu))
			c.change(&deps)
			_, err := processor.New(processor.DefaultConfig(), leases.DefaultConfig(), c.handler, deps)
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestRunRefuses has containers that are not as they must be: Run says so at once.
func TestRunRefuses(t *testing.T) {
	t.Parallel()
	on, hour := int32(-1), int32(3600)
	id := azcosmos.PartitionKeyDefinition{Paths: []string{"/id"}, Version: 2}
	multi := azcosmos.PartitionKeyDefinition{Paths: []string{"/a", "/b"}, Kind: azcosmos.PartitionKeyKindMultiHash, Version: 2}
	for name, c := range map[string]struct {
		key       azcosmos.PartitionKeyDefinition
		monitored string
		leases    string
		handler   func(*library) processor.Handler
		fault     int
		says      string
	}{
		"no container":     {stringKey, "nowhere", "leases", nil, 0, "monitored container"},
		"no leases":        {stringKey, "orders", "nowhere", nil, 0, "lease container"},
		"one for both":     {stringKey, "orders", "orders", nil, 0, "is the monitored one"},
		"leases by a path": {stringKey, "orders", "path", nil, 0, "want /id"},
		"no ttl":           {stringKey, "orders", "kept", nil, 0, "time to live off"},
		"leases that end":  {stringKey, "orders", "hour", nil, 0, "deletes what"},
		"no database":      {stringKey, "orders", "leases", nil, 1003, "monitored container"},
		"forbidden":        {stringKey, "orders", "leases", nil, 403, "403"},
		"hierarchical by strings": {multi, "orders", "leases", func(l *library) processor.Handler {
			return processor.Handler{
				Route:  func([]byte) processor.Route { return processor.Route{} },
				Handle: func(context.Context, dispatch.Change) (dispatch.Apply, error) { return nil, nil },
			}
		}, 0, "hierarchical"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLibrary(t, c.key, 1)
				database, err := l.client(inproc.New(l.emu)).NewDatabase("shop")
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range []azcosmos.ContainerProperties{
					{ID: "path", PartitionKeyDefinition: stringKey, DefaultTimeToLive: &on},
					{ID: "kept", PartitionKeyDefinition: id},
					{ID: "hour", PartitionKeyDefinition: id, DefaultTimeToLive: &hour},
				} {
					if _, err := database.CreateContainer(t.Context(), p, nil); err != nil {
						t.Fatal(err)
					}
				}
				if c.fault == 1003 {
					if _, err := database.Delete(t.Context(), nil); err != nil {
						t.Fatal(err)
					}
				} else if c.fault != 0 {
					refuse := fault.Rule[cosmosemu.Effect]{Name: "refuse", Match: fault.Match{"container": "orders"}}
					refuse.Effect.Status = c.fault
					if err := l.emu.Faults().Add(refuse); err != nil {
						t.Fatal(err)
					}
				}
				deps := l.deps(inproc.New(l.emu))
				deps.Monitored, deps.Leases = l.container(inproc.New(l.emu), c.monitored), l.container(inproc.New(l.emu), c.leases)
				registry := prometheus.NewRegistry()
				deps.Metrics = registry
				handler := processor.Each(l.each)
				if c.handler != nil {
					handler = c.handler(l)
				}
				p, err := processor.New(processor.DefaultConfig(), leases.DefaultConfig(), handler, deps)
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err = p.Run(ctx); err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("Run: %v, want it to say %q", err, c.says)
				}
				if d := time.Since(began); d > time.Second {
					t.Errorf("it took %s", d)
				}
				if err := p.Ready(); err == nil {
					t.Error("ready")
				}
				if s := p.Snapshot(); len(s.Ranges) != 0 {
					t.Errorf("snapshot: %+v", s)
				}
				if left, err := registry.Gather(); err != nil || len(left) > 0 {
					t.Errorf("metrics are left: %v, %v", left, err)
				}
				if p.Run(ctx) == nil {
					t.Error("it runs a second time")
				}
			})
		})
	}
}

// TestRunWaitsForTheAccount: an account that is away, or throttles, or somebody who
// answers in its place, ends nothing. azcosmos asks an account that was away at its
// first contact again after five minutes.
func TestRunWaitsForTheAccount(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  func(*http.Request) error
		effect cosmosemu.Effect
		within time.Duration
	}{
		"away":      {fault: func(*http.Request) error { return errors.New("no route to host") }, within: 6 * time.Minute},
		"throttled": {effect: cosmosemu.Effect{Effect: fault.Effect{Status: 429}}, within: 10 * time.Second},
		"a proxy":   {effect: cosmosemu.Effect{Effect: fault.Effect{Status: 200, Body: new(`{"id":"orders","partitionKey":{"paths":["/id"]}}`)}}, within: 10 * time.Second},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLibrary(t, stringKey, 1)
				l.put(doc{ID: "a", Value: "1"})
				var away atomic.Bool
				away.Store(true)
				if c.fault == nil {
					if err := l.emu.Faults().Add(fault.Rule[cosmosemu.Effect]{Name: "it", Match: fault.Match{"container": "orders|leases"}, Effect: c.effect}); err != nil {
						t.Fatal(err)
					}
				}
				r := l.start(&faulty{next: inproc.New(l.emu), before: func(req *http.Request) error {
					if away.Load() && c.fault != nil {
						return c.fault(req)
					}
					return nil
				}}, fromBeginning)
				time.Sleep(30 * time.Second)
				if r.Ready() == nil {
					t.Error("ready")
				}
				_ = r.Snapshot()
				away.Store(false)
				l.emu.Faults().Clear()
				time.Sleep(c.within)
				l.wantDone(map[string][]string{"a": {"1"}})
				if err := r.Ready(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestStopWhileNothingAnswers: Run ends, and without an error.
func TestStopWhileNothingAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, stringKey, 1)
		r := l.start(&faulty{next: inproc.New(l.emu), before: func(*http.Request) error { return errors.New("no route to host") }})
		time.Sleep(30 * time.Second)
		began := time.Now()
		r.stop()
		if d := time.Since(began); d > time.Second {
			t.Errorf("it took %s", d)
		}
	})
}

// TestRangesAreReadTogether: many ranges far away do not keep the first from being
// read.
func TestRangesAreReadTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, stringKey, 16)
		r := l.start(&faulty{next: inproc.New(l.emu), before: func(req *http.Request) error {
			if isFeed(req) {
				time.Sleep(time.Second)
			}
			return nil
		}})
		time.Sleep(8 * time.Second)
		if err := r.Ready(); err != nil {
			t.Error(err)
		}
		if n := len(r.Snapshot().Ranges); n != 16 {
			t.Errorf("%d ranges", n)
		}
	})
}

// TestRunRefusesForeignMetrics: a name in the registry that is taken does not get
// free by waiting.
func TestRunRefusesForeignMetrics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, stringKey, 1)
		deps := l.deps(inproc.New(l.emu))
		registry := prometheus.NewRegistry()
		registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "opfeed_leases_owned", Help: "Another."}))
		deps.Metrics = registry
		p, err := processor.New(processor.DefaultConfig(), leases.DefaultConfig(), processor.Each(l.each), deps)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := p.Run(ctx); err == nil || !strings.Contains(err.Error(), "register metrics") {
			t.Errorf("run: %v", err)
		}
	})
}

// TestTwoProcessorsOfOneProcess share containers, client and registry, and each is
// told of everything.
func TestTwoProcessorsOfOneProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, stringKey, 2)
		other := &library{t: t, emu: l.emu, host: l.host, key: l.key, calls: map[string]int{}, done: map[string][]string{}}
		registry := prometheus.NewRegistry()
		transport := inproc.New(l.emu)
		for name, user := range map[string]*library{"counter": l, "mailer": other} {
			deps := l.deps(transport)
			deps.Name, deps.Metrics = name, prometheus.WrapRegistererWith(prometheus.Labels{"processor": name}, registry)
			user.startWith(deps, fromBeginning)
		}
		l.put(doc{ID: "a", Value: "1"})
		time.Sleep(5 * time.Second)
		l.wantDone(map[string][]string{"a": {"1"}})
		other.wantDone(map[string][]string{"a": {"1"}})
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			of := map[string]bool{}
			for _, m := range f.GetMetric() {
				for _, label := range m.GetLabel() {
					if label.GetName() == "processor" {
						of[label.GetValue()] = true
					}
				}
			}
			if len(of) != 2 || !strings.HasPrefix(f.GetName(), "opfeed_") {
				t.Errorf("metric %s is of %v", f.GetName(), of)
			}
		}
		// Without a label of their own the second one is refused, not mixed up.
		deps := l.deps(transport)
		deps.Metrics = prometheus.NewRegistry()
		for _, want := range []bool{true, false} {
			_, err := processor.New(processor.DefaultConfig(), leases.DefaultConfig(), processor.Each(l.each), deps)
			if (err == nil) != want {
				t.Errorf("New with a registry of its own: %t, %v", want, err)
			}
		}
	})
}
