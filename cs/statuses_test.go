package cs_test

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

	"opfeed/cs"
	"opfeed/cs/cssim"
	"opfeed/internal/fault"
)

// many makes n refs of a kind; children belong to cluster c.
func many(kind cs.Kind, n int) []cs.Ref {
	var refs []cs.Ref
	for i := range n {
		ref := cs.Ref{Kind: kind, Cluster: "c", Child: fmt.Sprintf("x%03d", i)}
		if kind == cs.Cluster {
			ref = cs.Ref{Kind: kind, Cluster: ref.Child}
		}
		refs = append(refs, ref)
	}
	return refs
}

// wantSame wants the map to have all refs, as Status gives them.
func wantSame(t *testing.T, r *rig, got map[cs.Ref]cs.Status, refs ...cs.Ref) {
	t.Helper()
	if len(got) != len(refs) {
		t.Errorf("%d statuses, want %d", len(got), len(refs))
	}
	for _, ref := range refs {
		if have, ok := got[ref]; !ok || have != status(t, r.Client, ref) {
			t.Fatalf("%v: %v %+v, want %+v", ref, ok, have, status(t, r.Client, ref))
		}
	}
}

func TestStatusesAreThoseOfStatus(t *testing.T) {
	for _, kind := range []cs.Kind{cs.Cluster, cs.NodePool, cs.ExternalAuth} {
		for _, n := range []int{0, 1, 99, 100, 101, 250} {
			synctest.Test(t, func(t *testing.T) {
				sim := cssim.New(cssim.Options{})
				r := newRig(t, sim)
				refs := many(kind, n)
				for i, ref := range refs {
					state := []string{"ready", "error", "uninstalling", "dreaming"}[i%4]
					plant(t, sim, cssim.Planted{InternalID: ref.Path(), State: state, ErrorCode: "E", ErrorMessage: "m"})
				}
				_, before := sim.Requests()
				got, err := r.Statuses(t.Context(), refs)
				if err != nil {
					t.Fatal(err)
				}
				_, after := sim.Requests()
				if want := (n + 99) / 100; after-before != want {
					t.Errorf("%d %ss: %d requests, want %d", n, kind, after-before, want)
				}
				if counts := r.counts(t); counts[kind.String()+"/ok"] != float64((n+99)/100) || n > 0 && len(counts) != 1 {
					t.Errorf("%d %ss: counted %v", n, kind, counts)
				}
				wantSame(t, r, got, refs...)
			})
		}
	}
}

func TestStatusesOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := cssim.New(cssim.Options{})
		r := newRig(t, sim)
		other := cs.Ref{Kind: cs.NodePool, Cluster: "d", Child: "p"} // the same id in another cluster
		for ref, state := range map[cs.Ref]string{
			clusterRef: "installing", poolRef: "ready", authRef: "error", other: "updating", credRef: "issued",
			{Kind: cs.Cluster, Cluster: "notasked"}:                "ready",
			{Kind: cs.NodePool, Cluster: "c", Child: "notasked"}:   "ready",
			{Kind: cs.ExternalAuth, Cluster: "c", Child: "silent"}: "",
		} {
			plant(t, sim, cssim.Planted{InternalID: ref.Path(), State: state})
		}
		plant(t, sim, cssim.Planted{InternalID: clusterRef.Path(), State: "installing"}) // may have been made ready since
		got, err := r.Statuses(t.Context(), []cs.Ref{
			clusterRef, poolRef, authRef, other, poolRef, clusterRef, credRef,
			{Kind: cs.Cluster, Cluster: "nobody"},
			{Kind: cs.NodePool, Cluster: "nobody", Child: "p"},
			{Kind: cs.NodePool, Cluster: "c", Child: "nobody"},
			{Kind: cs.ExternalAuth, Cluster: "c", Child: "silent"},
			{Kind: cs.ExternalAuth, Cluster: "nobody", Child: "e"},
		})
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, r, got, clusterRef, poolRef, authRef, other)

		// A service that shows no status in its lists.
		if err := sim.Faults().Add(cssim.Fault{Name: "f", Match: fault.Match{"kind": "list"}, Effect: cssim.Effect{DropStatus: true}}); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Statuses(t.Context(), []cs.Ref{clusterRef, poolRef, authRef}); err != nil || len(got) != 0 {
			t.Errorf("%v, %v: want nothing", got, err)
		}
	})
}

// TestStatusesOddReplies: what a list says of cluster c, and what is made of it.
func TestStatusesOddReplies(t *testing.T) {
	for _, c := range []struct {
		name  string
		reply http.HandlerFunc
		want  string // the state, if there is one
		sort  string
	}{
		{"other letters", static(200, asJSON, envelope(`"total":1,`, `{"id":"C","status":{"state":"ready"}}`)), "ready", fine},
		{"unknown state", static(200, asJSON, envelope(`"total":1,`, `{"id":"c","status":{"state":"Dreaming"}}`)), "Dreaming", fine},
		{"state beside the status", static(200, asJSON, envelope(`"total":1,`, `{"id":"c","state":"ready"}`)), "", fine},
		{"null status", static(200, asJSON, envelope(`"total":1,`, `{"id":"c","state":"ready","status":null}`)), "", fine},
		{"empty status", static(200, asJSON, envelope(`"total":1,`, `{"id":"c","state":"ready","status":{}}`)), "", fine},
		{"null state", static(200, asJSON, envelope(`"total":1,`, `{"id":"c","status":{"state":null}}`)), "", fine},
		{"empty state", static(200, asJSON, envelope(`"total":1,`, `{"id":"c","status":{"state":""}}`)), "", fine},
		{"another one", static(200, asJSON, envelope(`"total":1,`, `{"id":"d","status":{"state":"ready"}}`)), "", fine},
		{"all there are", static(200, asJSON, envelope(`"total":2,`, `{"id":"d","status":{"state":"ready"}}`, `{"id":"c","status":{"state":"error"}}`)), "error", fine},
		{"nothing", static(200, asJSON, envelope(`"total":0,`)), "", fine},
		{"404", static(404, asJSON, gone), "", fine},
		{"no id", static(200, asJSON, envelope(`"total":1,`, `{"status":{"state":"ready"}}`)), "", answered},
		{"null bool", static(200, asJSON, envelope(`"total":1,`, `{"id":"c","status":{"state":"ready","dns_ready":null}}`)), "", answered},
		{"no list", static(200, asJSON, `{"total":1,"id":"c","status":{"state":"ready"}}`), "", answered},
		{"400", static(400, asJSON, strings.ReplaceAll(teapot, "418", "400")), "", answered},
		{"404 no shard", static(404, asJSON, noRoom), "", answered},
		{"404 html", static(404, "text/html", "no"), "", unavailable},
		{"404 empty", static(404, asJSON, ""), "", unavailable},
		{"503", static(503, asJSON, gone), "", unavailable},
		{"200 html", static(200, "text/html", "login"), "", unavailable},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, c.reply)
				got, err := r.Statuses(t.Context(), []cs.Ref{clusterRef})
				if s := sortOf(err); s != c.sort {
					t.Errorf("%s: %v, want %s", s, err, c.sort)
				}
				if have, ok := got[clusterRef]; ok != (c.want != "") || have.State != c.want || have.HasStatus != ok || len(got) > 1 {
					t.Errorf("%+v, want state %q", got, c.want)
				}
			})
		})
	}
}

// TestStatusesAskForNothingElse: ids are quoted, and come in batches that fit.
func TestStatusesAskForNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var searches []string
		sim := cssim.New(cssim.Options{})
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if text := req.URL.Query().Get("search"); text != "" {
				searches = append(searches, text)
			}
			sim.ServeHTTP(w, req)
		}), func(c *cs.Config) { c.Concurrency = 1 })
		plant(t, sim, cssim.Planted{InternalID: clusterRef.Path(), State: "ready"})
		bad := []cs.Ref{
			{}, {Kind: 9, Cluster: "c"}, {Kind: cs.Cluster, Cluster: "c') or id in ('d"}, {Kind: cs.Cluster, Cluster: "it's"},
			{Kind: cs.Cluster, Cluster: ""}, {Kind: cs.NodePool, Cluster: "../c", Child: "p"}, {Kind: cs.ExternalAuth, Cluster: "c", Child: "'"},
		}
		got, err := r.Statuses(t.Context(), append(bad, clusterRef))
		if sortOf(err) != answered {
			t.Errorf("bad refs: %v", err)
		}
		wantSame(t, r, got, clusterRef)
		if fmt.Sprint(searches) != "[id in ('c')]" {
			t.Errorf("searched for %q", searches)
		}

		var refs []cs.Ref
		for i := range 100 {
			refs = append(refs, cs.Ref{Kind: cs.Cluster, Cluster: fmt.Sprintf("c%03d-%s", i, strings.Repeat("x", 120))})
			plant(t, sim, cssim.Planted{InternalID: refs[i].Path(), State: "ready"})
		}
		searches = nil
		got, err = r.Statuses(t.Context(), refs)
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, r, got, refs...)
		if len(searches) != 4 {
			t.Errorf("%d searches, want 4", len(searches))
		}
		for _, search := range searches {
			if len(search) > 4200 {
				t.Errorf("a search of %d bytes", len(search))
			}
		}
	})
}

// TestStatusesWhenListsFail: what the other lists say is there all the same, and
// of a list that failed on a later page nothing.
func TestStatusesWhenListsFail(t *testing.T) {
	for _, c := range []struct {
		name   string
		effect cssim.Effect
		sort   string
	}{
		{"503", cssim.Effect{Effect: fault.Effect{Status: 503}}, unavailable},
		{"cut", cssim.Effect{Effect: fault.Effect{Reply: fault.Cut}}, unavailable},
		{"short", cssim.Effect{Effect: fault.Effect{Reply: fault.Short}}, answered},
		{"hang", cssim.Effect{Effect: fault.Effect{Reply: fault.Hang}}, unavailable},
		{"null items", cssim.Effect{Null: "items"}, answered},
		{"404", cssim.Effect{Effect: fault.Effect{Status: 404}}, fine},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := cssim.New(cssim.Options{})
				r := newRig(t, sim)
				refs := append(many(cs.NodePool, 150), clusterRef, authRef)
				for _, ref := range refs {
					plant(t, sim, cssim.Planted{InternalID: ref.Path(), State: "ready"})
				}
				if err := sim.Faults().Add(cssim.Fault{
					Name: "f", Match: fault.Match{"kind": "list", "object": "nodepool"}, When: fault.When{After: 1}, Effect: c.effect,
				}); err != nil {
					t.Fatal(err)
				}
				got, err := r.Statuses(t.Context(), refs)
				if sortOf(err) != c.sort {
					t.Errorf("%s: %v, want %s", sortOf(err), err, c.sort)
				}
				wantSame(t, r, got, clusterRef, authRef)
			})
		})
	}

	// Some states of the second page are of no use: those alone are missing.
	synctest.Test(t, func(t *testing.T) {
		sim := cssim.New(cssim.Options{})
		r := newRig(t, sim)
		refs := many(cs.NodePool, 150)
		for _, ref := range refs {
			plant(t, sim, cssim.Planted{InternalID: ref.Path(), State: "ready"})
		}
		for name, e := range map[string]cssim.Effect{"null state": {Null: "value"}, "no status": {DropStatus: true}} {
			if err := sim.Faults().Add(cssim.Fault{Name: name, Match: fault.Match{"kind": "list"}, When: fault.When{After: 1}, Effect: e}); err != nil {
				t.Fatal(err)
			}
			got, err := r.Statuses(t.Context(), refs)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			wantSame(t, r, got, refs[:100]...)
			sim.Faults().Remove(name)
		}
	})
}

// TestStatusesErrorIsTheWorst: of several failures an outage is told, with the
// longest wait.
func TestStatusesErrorIsTheWorst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			switch {
			case strings.HasSuffix(req.URL.Path, "external_auths"):
				static(200, asJSON, `{"total":1}`)(w, req)
			case strings.Contains(req.URL.Path, "/d/"):
				static(503, asJSON, gone, "Retry-After", "60")(w, req)
			case strings.HasSuffix(req.URL.Path, "node_pools"):
				static(429, asJSON, gone, "Retry-After", "7")(w, req)
			default:
				static(200, asJSON, envelope(`"total":1,`, `{"id":"c","status":{"state":"ready"}}`))(w, req)
			}
		}))
		got, err := r.Statuses(t.Context(), []cs.Ref{authRef, poolRef, {Kind: cs.NodePool, Cluster: "d", Child: "p"}, clusterRef})
		var u *cs.UnavailableError
		if !errors.As(err, &u) || u.RetryAfter != time.Minute || !strings.HasPrefix(err.Error(), "3 failures") {
			t.Errorf("%v", err)
		}
		if len(got) != 1 || got[clusterRef].State != "ready" {
			t.Errorf("%+v", got)
		}
	})
}

// TestStatusesErrorIsShort: it goes into logs, and a search does not belong there.
func TestStatusesErrorIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
		_, err := r.Statuses(t.Context(), many(cs.Cluster, 100))
		if sortOf(err) != unavailable || len(err.Error()) > 300 || strings.Contains(err.Error(), "x099") {
			t.Errorf("%v", err)
		}
	})
}

func TestStatusesAreBounded(t *testing.T) {
	var refs []cs.Ref
	for i := range 50 {
		refs = append(refs, cs.Ref{Kind: cs.NodePool, Cluster: fmt.Sprintf("c%d", i), Child: "p"})
	}
	for concurrency, want := range map[int]int64{64: 8, 3: 3, 1: 1} {
		synctest.Test(t, func(t *testing.T) {
			var now, most atomic.Int64
			r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				most.Store(max(most.Load(), now.Add(1)))
				defer now.Add(-1)
				time.Sleep(9 * time.Second)
				static(200, asJSON, envelope(`"total":1,`, `{"id":"p","status":{"state":{"value":"ready"}}}`))(w, req)
			}), func(c *cs.Config) { c.Concurrency = concurrency })
			got, err := r.Statuses(t.Context(), refs)
			if err != nil || len(got) != 50 || most.Load() != want {
				t.Errorf("%v, %d statuses, %d lists at once, want %d", err, len(got), most.Load(), want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, http.HandlerFunc(hang))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		got, err := r.Statuses(ctx, refs)
		if sortOf(err) != unavailable || !errors.Is(err, context.DeadlineExceeded) || len(got) != 0 || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Statuses(t.Context(), refs); !errors.Is(err, cs.ErrClosed) {
			t.Errorf("after close: %v", err)
		}
	})
}
