package cs_test

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs"
	"opfeed/cs/cssim"
	"opfeed/internal/fault"
)

// lister is one of the lists that are complete or an error, with a way to fill it.
type lister struct {
	name  string
	kind  string // as counted
	rule  fault.Match
	fill  func(t *testing.T, sim *cssim.Server, n int)
	read  func(ctx context.Context, c *cs.Client) (ids []string, err error)
	state string // the name of the property
}

var listers = []lister{
	{
		"credentials", "BreakGlassCredential", fault.Match{"kind": "list", "object": "credential"},
		func(t *testing.T, sim *cssim.Server, n int) {
			plant(t, sim, cssim.Planted{InternalID: clusterRef.Path(), State: "ready"})
			for i := range n {
				plant(t, sim, cssim.Planted{InternalID: fmt.Sprintf("%s%03d", credRef.Path(), i), State: "issued"})
			}
		},
		func(ctx context.Context, c *cs.Client) (ids []string, err error) {
			all, err := c.Credentials(ctx, clusterRef)
			for _, one := range all {
				ids = append(ids, one.ID)
			}
			return ids, err
		}, "status",
	},
	{
		"checks", "Cluster", fault.Match{"kind": "checks"},
		func(t *testing.T, sim *cssim.Server, n int) {
			checks := []string{}
			for i := range n {
				checks = append(checks, fmt.Sprintf(`{"id":"b%03d","state":"passed"}`, i))
			}
			ask(t, sim, "POST", "/_simulator/objects", fmt.Sprintf(
				`{"internalId":%q,"state":"error","inflightChecks":[%s]}`, clusterRef.Path(), strings.Join(checks, ",")))
		},
		func(ctx context.Context, c *cs.Client) (ids []string, err error) {
			all, err := c.InflightChecks(ctx, clusterRef)
			for _, one := range all {
				ids = append(ids, one.ID)
			}
			return ids, err
		}, "state",
	},
}

func plant(t *testing.T, sim *cssim.Server, p cssim.Planted) {
	t.Helper()
	if err := sim.PlantObject(p); err != nil {
		t.Fatal(err)
	}
}

// wantIDs wants b000 to as many as there are, in order.
func wantIDs(t *testing.T, ids []string, n int) {
	t.Helper()
	if len(ids) != n {
		t.Fatalf("%d items, want %d", len(ids), n)
	}
	for i, id := range ids {
		if id != fmt.Sprintf("b%03d", i) {
			t.Fatalf("item %d is %q", i, id)
		}
	}
}

func TestListsAreWhole(t *testing.T) {
	for _, l := range listers {
		for _, n := range []int{0, 1, 99, 100, 101, 250} {
			synctest.Test(t, func(t *testing.T) {
				sim := cssim.New(cssim.Options{})
				r := newRig(t, sim)
				l.fill(t, sim, n)
				_, before := sim.Requests()
				ids, err := l.read(t.Context(), r.Client)
				if err != nil {
					t.Fatalf("%s, %d items: %v", l.name, n, err)
				}
				wantIDs(t, ids, n)
				pages := max(1, (n+99)/100)
				if _, after := sim.Requests(); after-before != pages {
					t.Errorf("%s, %d items: %d requests, want %d", l.name, n, after-before, pages)
				}
				if counts := r.counts(t); counts[l.kind+"/ok"] != float64(pages) || len(counts) != 1 {
					t.Errorf("%s: counted %v", l.name, counts)
				}
			})
		}
	}
}

// TestFaultOnTheSecondPage: no list is ever cut short by an error.
func TestFaultOnTheSecondPage(t *testing.T) {
	html := "<h1>bad gateway</h1>"
	for _, l := range listers {
		for _, c := range []struct {
			name   string
			effect cssim.Effect
			sort   string
		}{
			{"503", cssim.Effect{Effect: fault.Effect{Status: 503}}, unavailable},
			{"429", cssim.Effect{Effect: fault.Effect{Status: 429, Header: map[string]string{"Retry-After": "7"}}}, unavailable},
			{"502 html", cssim.Effect{Effect: fault.Effect{Status: 502, Header: map[string]string{"Content-Type": "text/html"}, Body: &html}}, unavailable},
			{"404", cssim.Effect{Effect: fault.Effect{Status: 404}}, notFound},
			{"400", cssim.Effect{Effect: fault.Effect{Status: 400}}, answered},
			{"cut", cssim.Effect{Effect: fault.Effect{Reply: fault.Cut}}, unavailable},
			{"short", cssim.Effect{Effect: fault.Effect{Reply: fault.Short}}, answered},
			{"reset", cssim.Effect{Effect: fault.Effect{Reply: fault.Reset}}, unavailable},
			{"hang", cssim.Effect{Effect: fault.Effect{Reply: fault.Hang}}, unavailable},
			{"null state", cssim.Effect{Null: l.state}, answered},
			{"null ids", cssim.Effect{Null: "id"}, answered},
			{"null items", cssim.Effect{Null: "items"}, answered},
			{"null total", cssim.Effect{Null: "total"}, answered},
			{"no status", cssim.Effect{DropStatus: true}, answered},
		} {
			if c.effect.DropStatus && l.state != "status" {
				continue
			}
			t.Run(strings.ReplaceAll(l.name+" "+c.name, " ", "-"), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					sim := cssim.New(cssim.Options{})
					r := newRig(t, sim)
					l.fill(t, sim, 250)
					if err := sim.Faults().Add(cssim.Fault{
						Name: "f", Match: l.rule, When: fault.When{After: 1, Times: 1}, Effect: c.effect,
					}); err != nil {
						t.Fatal(err)
					}
					start := time.Now()
					ids, err := l.read(t.Context(), r.Client)
					if sortOf(err) != c.sort || ids != nil {
						t.Errorf("%d items, %s: %v; want none, %s", len(ids), sortOf(err), err, c.sort)
					}
					if err != nil && !strings.Contains(err.Error(), "?page=2") {
						t.Errorf("error does not say which page: %v", err)
					}
					if took := time.Since(start); took > 10*time.Second {
						t.Errorf("took %v, want the deadline of one call at most", took)
					}
					ids, err = l.read(t.Context(), r.Client)
					if err != nil {
						t.Fatalf("afterwards: %v", err)
					}
					wantIDs(t, ids, 250)
				})
			})
		}
	}
}

// envelope is a page as CS writes it.
func envelope(total string, items ...string) string {
	return fmt.Sprintf(`{"kind":"L","page":1,"size":%d,%s"items":[%s]}`, len(items), total, strings.Join(items, ","))
}

// items are some with the ids b<from>… and a state that each kind of list can read.
func items(from, to int) []string {
	var list []string
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprintf(`{"id":"b%03d","status":"issued","state":"passed"}`, i))
	}
	return list
}

// slice gives a page out of n items, with whatever total.
func slice(n int, total string) func(page int) string {
	return func(page int) string {
		return envelope(total, items(min((page-1)*100, n), min(page*100, n))...)
	}
}

func always(body string) func(int) string { return func(int) string { return body } }

func TestHostileLists(t *testing.T) {
	one := `{"id":"b000","status":"issued","state":"passed"}`
	for _, c := range []struct {
		name     string
		reply    func(page int) string
		n        int // items; -1: an error
		requests int
	}{
		{"total too high", slice(250, `"total":500,`), -1, 4},
		{"total too high by one", slice(100, `"total":101,`), -1, 2},
		{"total too low", slice(250, `"total":1,`), 250, 4},
		{"total zero", slice(250, `"total":0,`), 250, 4},
		{"total negative", slice(250, `"total":-1,`), 250, 4},
		{"total absent", slice(250, ``), 250, 4},
		{"total absent, nothing there", slice(0, ``), 0, 1},
		{"total zero, nothing there", slice(0, `"total":0,`), 0, 1},
		{"total is text", slice(1, `"total":"1",`), -1, 1},
		{"total moves up", func(page int) string { return slice(250, `"total":`+strconv.Itoa(249+page)+`,`)(page) }, -1, 2},
		{"total moves down", func(page int) string { return slice(250, `"total":`+strconv.Itoa(251-page)+`,`)(page) }, -1, 2},
		{"same page for ever", always(envelope(`"total":250,`, items(0, 100)...)), -1, 2},
		{"same page for ever, no total", always(envelope(``, items(0, 100)...)), -1, 2},
		{"same page for ever, total of one page", always(envelope(`"total":100,`, items(0, 100)...)), 100, 1},
		{"all on one page", always(envelope(`"total":250,`, items(0, 250)...)), 250, 1},
		{"endless", slice(1e6, `"total":1000000,`), -1, 100},
		{"endless, no total", slice(1e6, ``), -1, 100},
		{"one a page, for ever", func(page int) string { return envelope(`"total":1000,`, items(page, page+1)...) }, -1, 100},
		{"small pages", func(page int) string { return envelope(`"total":5,`, items(min(page*2-2, 5), min(page*2, 5))...) }, 5, 3},
		{"twice on a page", always(envelope(`"total":3,`, one, one, `{"id":"b001","status":"s","state":"s"}`)), 2, 1},
		{"twice on a page, in other letters", always(envelope(`"total":3,`, one, `{"id":"B000","status":"s","state":"s"}`, `{"id":"b001","status":"s","state":"s"}`)), -2, 1},
		{"on two pages", func(page int) string { return envelope(`"total":150,`, items(page*90-90, min(page*90+10, 150))...) }, 150, 2},
		{"on two pages, one is missing", func(page int) string {
			return envelope(`"total":151,`, items(min(page*90-90, 150), min(page*90+10, 150))...)
		}, -1, 3},
		{"no id", always(envelope(`"total":1,`, `{"status":"s","state":"s"}`)), -1, 1},
		{"no state", always(envelope(`"total":1,`, `{"id":"b000"}`)), -1, 1},
		{"null item", always(envelope(`"total":1,`, `null`)), -1, 1},
		{"null items", always(`{"total":0,"items":null}`), 0, 1},
		{"null items, but a total", always(`{"total":1,"items":null}`), -1, 1},
		{"no items", always(`{"total":0,"page":1,"size":0}`), -1, 1},
		{"items are an object", always(`{"total":1,"items":{"id":"b000"}}`), -1, 1},
		{"items are text", always(`{"total":1,"items":"b000"}`), -1, 1},
		{"empty object", always(`{}`), -1, 1},
		{"null", always(`null`), -1, 1},
		{"array", always(`[` + one + `]`), -1, 1},
		{"error with 200", always(gone), -1, 1},
		{"empty", always(``), -1, 1},
		{"unknown state", always(envelope(`"total":1,`, `{"id":"b000","status":"Dreaming","state":"Dreaming"}`)), 1, 1},
	} {
		for _, l := range listers {
			t.Run(strings.ReplaceAll(l.name+" "+c.name, " ", "-"), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					requests := 0
					r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
						requests++
						page, err := strconv.Atoi(req.URL.Query().Get("page"))
						if err != nil || page != requests {
							t.Errorf("request %d asks for page %d: %v", requests, page, err)
						}
						static(200, asJSON, c.reply(page))(w, req)
					}))
					ids, err := l.read(t.Context(), r.Client)
					switch {
					case requests != c.requests:
						t.Errorf("%d requests, want %d", requests, c.requests)
					case c.n == -2: // the later one counts, at the place of the earlier
						if err != nil || fmt.Sprint(ids) != "[B000 b001]" {
							t.Errorf("%v, %v", ids, err)
						}
					case c.n >= 0:
						if err != nil {
							t.Fatal(err)
						}
						wantIDs(t, ids, c.n)
					case err == nil || ids != nil || sortOf(err) == notFound:
						t.Errorf("%d items, %v: want an error", len(ids), err)
					}
				})
			})
		}
	}
}

func TestListsOfWhatIsNoCluster(t *testing.T) {
	r := newRig(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked") }))
	for _, ref := range []cs.Ref{{}, poolRef, credRef, {Kind: cs.Cluster, Cluster: "../c"}, {Kind: cs.Cluster, Cluster: "c", Child: "d"}} {
		if _, err := r.Credentials(t.Context(), ref); sortOf(err) != answered {
			t.Errorf("credentials of %+v: %v", ref, err)
		}
		if _, err := r.InflightChecks(t.Context(), ref); sortOf(err) != answered {
			t.Errorf("checks of %+v: %v", ref, err)
		}
	}
}

func TestListsOfAClusterThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, cssim.New(cssim.Options{}))
		for _, l := range listers {
			if ids, err := l.read(t.Context(), r.Client); sortOf(err) != notFound || ids != nil {
				t.Errorf("%s: %v, %v", l.name, ids, err)
			}
		}
	})
}

func TestInflightChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		details := []string{`{"error":"why"}`, `{"error":7}`, `{"other":"x"}`, `"text"`, `["error"]`, `null`, `7`, `{"error":null}`}
		var list []string
		for i, d := range details {
			list = append(list, fmt.Sprintf(`{"kind":"InflightCheck","id":"%d","name":"n","state":"failed","details":%s,"restarts":1}`, i, d))
		}
		list = append(list, `{"id":"x","state":"pending"}`)
		r := newRig(t, static(200, asJSON, envelope(fmt.Sprintf(`"total":%d,`, len(list)), list...)))
		checks, err := r.InflightChecks(t.Context(), clusterRef)
		if err != nil || len(checks) != len(list) {
			t.Fatalf("%v, %+v", err, checks)
		}
		for i, check := range checks {
			want := cs.InflightCheck{ID: strconv.Itoa(i), Name: "n", State: "failed"}
			switch i {
			case 0:
				want.Error = "why"
			case len(details):
				want = cs.InflightCheck{ID: "x", State: "pending"}
			}
			if check != want {
				t.Errorf("%+v, want %+v", check, want)
			}
		}

		sim := cssim.New(cssim.Options{})
		r = newRig(t, sim)
		plant(t, sim, cssim.Planted{InternalID: clusterRef.Path(), State: "error", FailedChecks: 120})
		if s := status(t, r.Client, clusterRef); s.ErrorCode != "OCM4001" {
			t.Errorf("%+v", s)
		}
		failed := map[string]bool{}
		checks, err = r.InflightChecks(t.Context(), clusterRef)
		for _, check := range checks {
			if check.State == "failed" {
				failed[check.Error] = true
			}
		}
		if err != nil || len(failed) != 120 || len(checks) != 122 {
			t.Errorf("%v, %d different failures in %d checks", err, len(failed), len(checks))
		}
	})
}

func TestCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := cssim.New(cssim.Options{StaleAfterDelete: -1})
		r := newRig(t, sim)
		plant(t, sim, cssim.Planted{InternalID: clusterRef.Path(), State: "ready"})
		end := time.Now().Add(time.Hour).UTC()
		path := strings.TrimSuffix(credRef.Path(), "/b")
		ask(t, sim, "POST", path, `{"id":"b","expiration_timestamp":"`+end.Format(time.RFC3339)+`"}`)
		want := func(state string) cs.Credential {
			t.Helper()
			all, err := r.Credentials(t.Context(), clusterRef)
			if err != nil || len(all) != 1 || all[0].ID != "b" || all[0].State != state || !all[0].Expires.Equal(end) ||
				all[0].Revoked.IsZero() != (state != "revoked") {
				t.Fatalf("%+v, %v; want %s", all, err, state)
			}
			if s := status(t, r.Client, credRef); s.State != state {
				t.Fatalf("status %+v, list %s", s, state)
			}
			return all[0]
		}
		want("created")
		time.Sleep(5 * time.Minute)
		want("issued")
		ask(t, sim, "DELETE", path, "")
		want("awaiting_revocation")
		time.Sleep(6 * time.Minute)
		if c := want("revoked"); time.Since(c.Revoked) > 5*time.Minute {
			t.Errorf("%+v", c)
		}
	})
}

// TestNoKubeconfigGetsOut: not by any reply, whole, cut or wrong, through what the
// client returns, its errors, its log and its health.
func TestNoKubeconfigGetsOut(t *testing.T) {
	secret := strings.Repeat("Z", 300)
	item := `{"kind":"BreakGlassCredential","id":"b","username":"u","kubeconfig":"` + secret + `","status":"issued","expiration_timestamp":"2026-01-02T03:04:05Z"}`
	page := envelope(`"total":1,`, item)
	type reply struct {
		status            int
		contentType, body string
	}
	var replies []reply
	for _, body := range []string{item, page} {
		replies = append(replies, reply{200, asJSON, body}, reply{200, "text/plain", body}, reply{200, "", body}, reply{200, "text/html", secret},
			reply{500, asJSON, body}, reply{500, "text/plain", body}, reply{404, asJSON, body}, reply{404, "text/html", body},
			reply{400, asJSON, `{"id":` + body}, reply{200, asJSON, `"` + secret + `"`}, reply{200, asJSON, body + body},
			reply{200, asJSON, strings.Replace(body, "2026-01-02", secret, 1)},
			reply{200, asJSON, strings.Replace(body, `"status":"issued"`, `"status":7`, 1)},
			reply{200, asJSON, strings.Replace(body, `"`+secret+`"`, `[`+secret+`]`, 1)})
		for end := 1; end < len(body); end += 3 {
			replies = append(replies, reply{200, asJSON, body[:end]}, reply{400, asJSON, body[:end]})
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var now reply
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			static(now.status, now.contentType, now.body)(w, req)
		}))
		fine := 0
		for _, now = range replies {
			all, listErr := r.Credentials(t.Context(), clusterRef)
			s, statusErr := r.Status(t.Context(), credRef)
			existsErr := r.Exists(t.Context(), credRef)
			if listErr == nil || statusErr == nil {
				fine++
			}
			_, _, last := r.Healthy()
			for _, text := range []string{
				fmt.Sprintf("%+v %+v %#v %#v", all, s, all, s), fmt.Sprint(listErr, statusErr, existsErr), last,
				fmt.Sprintf("%#v %#v %#v", listErr, statusErr, existsErr),
			} {
				if strings.Contains(text, "ZZ") {
					t.Fatalf("%d %s %.80q: %s", now.status, now.contentType, now.body, text)
				}
			}
			time.Sleep(time.Minute) // the log holds back what comes too fast
		}
		if fine < 2 {
			t.Errorf("only %d replies were of use", fine)
		}
		if len(r.logs.All()) == 0 {
			t.Error("nothing was logged")
		}
		for _, e := range r.logs.All() {
			if text := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(text, "ZZ") {
				t.Fatal(text)
			}
		}
	})
	// Nothing that could hold one, either.
	for _, field := range reflect.VisibleFields(reflect.TypeFor[cs.Credential]()) {
		if strings.Contains(strings.ToLower(field.Name), "config") {
			t.Errorf("a credential has a field %s", field.Name)
		}
	}
}

// TestNoFakeSecretUnderFaults is the same with the simulator, page by page.
func TestNoFakeSecretUnderFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := cssim.New(cssim.Options{})
		r := newRig(t, sim)
		listers[0].fill(t, sim, 120)
		for i, e := range []cssim.Effect{
			{Effect: fault.Effect{Reply: fault.Cut}}, {Effect: fault.Effect{Reply: fault.Short}}, {Null: "status"}, {Null: "kubeconfig"},
			{State: "issued"}, {Effect: fault.Effect{Status: 200, Header: map[string]string{"Content-Type": "text/plain"}}},
			{Effect: fault.Effect{Header: map[string]string{"Content-Type": "text/plain"}}},
		} {
			for _, after := range []int{0, 1} {
				name := fmt.Sprint(i, after)
				if err := sim.Faults().Add(cssim.Fault{Name: name, Match: listers[0].rule, When: fault.When{After: after}, Effect: e}); err != nil {
					t.Fatal(err)
				}
				all, err := r.Credentials(t.Context(), clusterRef)
				sim.Faults().Remove(name)
				_, _, last := r.Healthy()
				if text := fmt.Sprintf("%+v %v %#v %s", all, err, err, last); strings.Contains(text, "SIMULATED") {
					t.Errorf("%+v: %s", e, text)
				}
				time.Sleep(time.Minute)
			}
		}
		for _, e := range r.logs.All() {
			if text := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(text, "SIMULATED") {
				t.Error(text)
			}
		}
	})
}
