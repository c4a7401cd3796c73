package cs_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

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

// wantStates wants the map to have all refs, as Status gives them.
func wantStates(t *testing.T, r *rig, got map[cs.Ref]string, refs ...cs.Ref) {
	t.Helper()
	if len(got) != len(refs) {
		t.Errorf("%d states, want %d", len(got), len(refs))
	}
	for _, ref := range refs {
		if want := status(t, r.Client, ref).State; got[ref] != want {
			t.Fatalf("%v: %q, want %q", ref, got[ref], want)
		}
	}
}

func TestStatesAreThoseOfStatus(t *testing.T) {
	for _, kind := range []cs.Kind{cs.Cluster, cs.NodePool, cs.ExternalAuth} {
		for _, n := range []int{1, 99, 100, 101, 250} {
			if kind == cs.Cluster && n > 100 {
				continue // they do not fit one list
			}
			synctest.Test(t, func(t *testing.T) {
				sim := cssim.New(cssim.Options{})
				r := newRig(t, sim)
				refs := many(kind, n)
				for i, ref := range refs {
					state := []string{"ready", "error", "uninstalling", "dreaming"}[i%4]
					plant(t, sim, cssim.Planted{InternalID: ref.Path(), State: state})
				}
				_, before := sim.Requests()
				got, err := r.States(t.Context(), refs...)
				if err != nil {
					t.Fatal(err)
				}
				_, after := sim.Requests()
				if want := (n + 99) / 100; after-before != want {
					t.Errorf("%d %ss: %d requests, want %d", n, kind, after-before, want)
				}
				if counts := r.counts(t); counts[kind.String()+"/ok"] != float64((n+99)/100) || len(counts) != 1 {
					t.Errorf("%d %ss: counted %v", n, kind, counts)
				}
				wantStates(t, r, got, refs...)
			})
		}
	}
}

// TestStatesOfOthers: a list of clusters tells of those that were asked for, one of
// a cluster's children of all that have a state.
func TestStatesOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := cssim.New(cssim.Options{})
		r := newRig(t, sim)
		other := cs.Ref{Kind: cs.NodePool, Cluster: "d", Child: "p"} // the same id in another cluster
		unasked := cs.Ref{Kind: cs.NodePool, Cluster: "c", Child: "notasked"}
		for ref, state := range map[cs.Ref]string{
			clusterRef: "installing", poolRef: "ready", authRef: "error", other: "updating", unasked: "ready",
			{Kind: cs.Cluster, Cluster: "notasked"}:                "ready",
			{Kind: cs.ExternalAuth, Cluster: "c", Child: "silent"}: "",
		} {
			plant(t, sim, cssim.Planted{InternalID: ref.Path(), State: state})
		}
		plant(t, sim, cssim.Planted{InternalID: clusterRef.Path(), State: "installing"}) // may have been made ready since
		for _, c := range []struct{ asked, want []cs.Ref }{
			{[]cs.Ref{clusterRef, {Kind: cs.Cluster, Cluster: "nobody"}}, []cs.Ref{clusterRef}},
			{[]cs.Ref{poolRef, {Kind: cs.NodePool, Cluster: "c", Child: "nobody"}}, []cs.Ref{poolRef, unasked}},
			{[]cs.Ref{other}, []cs.Ref{other}},
			{[]cs.Ref{authRef, {Kind: cs.ExternalAuth, Cluster: "c", Child: "silent"}}, []cs.Ref{authRef}},
			{[]cs.Ref{{Kind: cs.NodePool, Cluster: "nobody", Child: "p"}}, nil},
			{[]cs.Ref{{Kind: cs.ExternalAuth, Cluster: "nobody", Child: "e"}}, nil},
		} {
			got, err := r.States(t.Context(), c.asked...)
			if err != nil {
				t.Fatal(err)
			}
			wantStates(t, r, got, c.want...)
		}

		// A service that shows no status in its lists.
		if err := sim.Faults().Add(cssim.Fault{Name: "f", Match: fault.Match{"kind": "list"}, Effect: cssim.Effect{DropStatus: true}}); err != nil {
			t.Fatal(err)
		}
		for _, ref := range []cs.Ref{clusterRef, poolRef, authRef} {
			if got, err := r.States(t.Context(), ref); err != nil || len(got) != 0 {
				t.Errorf("%v, %v: want nothing", got, err)
			}
		}
	})
}

// TestStatesOddReplies: what a list says of cluster c, and what is made of it.
func TestStatesOddReplies(t *testing.T) {
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
				got, err := r.States(t.Context(), clusterRef)
				if s := sortOf(err); s != c.sort {
					t.Errorf("%s: %v, want %s", s, err, c.sort)
				}
				if have, ok := got[clusterRef]; ok != (c.want != "") || have != c.want || len(got) > 1 {
					t.Errorf("%+v, want state %q", got, c.want)
				}
			})
		})
	}
}

// TestStatesAskForNothingElse: a search names what is asked for, and is not too long.
func TestStatesAskForNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var searches []string
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			searches = append(searches, req.URL.Query().Get("search"))
			static(200, asJSON, envelope(`"total":0,`))(w, req)
		}))
		long := make([]cs.Ref, 100)
		for i := range long {
			long[i] = cs.Ref{Kind: cs.Cluster, Cluster: fmt.Sprintf("c%03d-%s", i, strings.Repeat("x", 120))}
		}
		for _, c := range []struct {
			refs []cs.Ref
			fit  int
		}{{[]cs.Ref{clusterRef}, 1}, {many(cs.Cluster, 250), 100}, {long, 32}, {many(cs.NodePool, 250), 250}} {
			if n := cs.Fit(c.refs); n != c.fit {
				t.Errorf("%d of %d %ss fit a list, want %d", n, len(c.refs), c.refs[0].Kind, c.fit)
			}
			if _, err := r.States(t.Context(), c.refs[:c.fit]...); err != nil {
				t.Fatal(err)
			}
		}
		if len(searches) != 4 || searches[0] != "id in ('c')" || searches[3] != "" || len(searches[2]) > 4200 {
			t.Errorf("searched for %q", searches)
		}
	})
}

// TestStatesWhenListsFail: of a list that failed on a later page there is nothing.
func TestStatesWhenListsFail(t *testing.T) {
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
				refs := many(cs.NodePool, 150)
				for _, ref := range refs {
					plant(t, sim, cssim.Planted{InternalID: ref.Path(), State: "ready"})
				}
				if err := sim.Faults().Add(cssim.Fault{
					Name: "f", Match: fault.Match{"kind": "list", "object": "nodepool"}, When: fault.When{After: 1}, Effect: c.effect,
				}); err != nil {
					t.Fatal(err)
				}
				got, err := r.States(t.Context(), refs...)
				if sortOf(err) != c.sort || len(got) != 0 {
					t.Errorf("%s: %v, want %s; %d states", sortOf(err), err, c.sort, len(got))
				}
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
			got, err := r.States(t.Context(), refs...)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			wantStates(t, r, got, refs[:100]...)
			sim.Faults().Remove(name)
		}
	})
}

// TestStatesErrorIsShort: it goes into logs, and a search does not belong there.
func TestStatesErrorIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
		_, err := r.States(t.Context(), many(cs.Cluster, 100)...)
		if sortOf(err) != unavailable || len(err.Error()) > 300 || strings.Contains(err.Error(), "x099") {
			t.Errorf("%v", err)
		}
	})
}
