package cssim_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/openshift-online/ocm-sdk-go"
	arohcp "github.com/openshift-online/ocm-sdk-go/arohcp/v1alpha1"
	ocm "github.com/openshift-online/ocm-sdk-go/errors"
	"github.com/openshift-online/ocm-sdk-go/logging"

	"opfeed/cs"
	"opfeed/cs/cssim"
	"opfeed/internal/fault"
	"opfeed/internal/inproc"
)

var (
	clusterRef = cs.Ref{Kind: cs.Cluster, Cluster: "c"}
	poolRef    = cs.Ref{Kind: cs.NodePool, Cluster: "c", Child: "p"}
	authRef    = cs.Ref{Kind: cs.ExternalAuth, Cluster: "c", Child: "e"}
)

const shortOfShards = "Unable to find shard in region 'x' for provisioning"

// plain is an effect that any server could have.
func plain(e fault.Effect) cssim.Effect { return cssim.Effect{Effect: e} }

// answering is one that answers with a body.
func answering(status int, contentType, body string) cssim.Effect {
	return plain(fault.Effect{Status: status, Body: &body, Header: map[string]string{"Content-Type": contentType}})
}

func seconds(n float64) fault.Duration { return fault.Duration(n * float64(time.Second)) }

func (w *world) fault(f cssim.Fault) {
	w.t.Helper()
	if f.Name == "" {
		f.Name = "it"
	}
	if err := w.sim.Faults().Add(f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) plant(path, state string) {
	w.t.Helper()
	if err := w.sim.Plant(path, state); err != nil {
		w.t.Fatal(err)
	}
}

// client is ours.
func (w *world) client() *cs.Client {
	w.t.Helper()
	cfg := cs.DefaultConfig()
	cfg.URL = "http://sim.test"
	c, err := cs.New(cfg, cs.Deps{Transport: inproc.New(w.sim)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

// ours is what our client makes of a call: a state, "exists", or which of the
// three kinds of failure it is.
func ours(state string, err error) string {
	var u *cs.UnavailableError
	switch {
	case errors.As(err, &u) && u.RetryAfter > 0:
		return fmt.Sprintf("unavailable for %v", u.RetryAfter)
	case errors.As(err, &u):
		return "unavailable"
	case errors.Is(err, cs.ErrNotFound):
		return "not found"
	case err != nil:
		return "of no use"
	}
	return state
}

func askOurs(ctx context.Context, c *cs.Client, ref cs.Ref, object bool) string {
	if object {
		return ours("exists", c.Exists(ctx, ref))
	}
	status, err := c.Status(ctx, ref)
	if err == nil && !status.HasStatus {
		return "no status"
	}
	return ours(status.State, err)
}

// theirs is what the SDK makes of a call.
func theirs(state string, status int, body bool, err error) string {
	var own *ocm.Error
	switch {
	case errors.As(err, &own):
		return fmt.Sprintf("error %d: %s", own.Status(), own.Reason())
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline"
	case err != nil:
		return "another error"
	case !body:
		return fmt.Sprintf("no error, status %d, no body", status)
	}
	return state
}

func askSDK(ctx context.Context, c *arohcp.ClusterClient, ref cs.Ref, object bool) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	switch {
	case ref == authRef:
		r, err := c.ExternalAuthConfig().ExternalAuths().ExternalAuth("e").Get().SendContext(ctx)
		body, ok := r.GetBody()
		return theirs(body.Status().State().Value(), r.Status(), ok, err)
	case ref == poolRef:
		r, err := c.NodePools().NodePool("p").Status().Get().SendContext(ctx)
		body, ok := r.GetBody()
		return theirs(body.State().NodePoolStateValue(), r.Status(), ok, err)
	case object:
		r, err := c.Get().SendContext(ctx)
		body, ok := r.GetBody()
		return theirs("id "+body.ID(), r.Status(), ok, err)
	}
	r, err := c.Status().Get().SendContext(ctx)
	body, ok := r.GetBody()
	return theirs(string(body.State()), r.Status(), ok, err)
}

// What each effect looks like to our client and to the SDK on which it is built.
// Neither repeats a request by itself.
func TestEffects(t *testing.T) {
	for name, c := range map[string]struct {
		effect cssim.Effect
		ref    cs.Ref // zero: the cluster
		object bool   // ask for the object, not for its status
		ours   string
		theirs string
		took   time.Duration
	}{
		"nothing": {ours: "ready", theirs: "ready"},
		"slow": {effect: plain(fault.Effect{Before: seconds(2), After: seconds(1)}),
			ours: "ready", theirs: "ready", took: 3 * time.Second},
		"too slow": {effect: plain(fault.Effect{Before: seconds(60)}),
			ours: "unavailable", theirs: "deadline", took: 10 * time.Second},
		"hang": {effect: plain(fault.Effect{Reply: fault.Hang}),
			ours: "unavailable", theirs: "deadline", took: 10 * time.Second},
		"reset": {effect: plain(fault.Effect{Reply: fault.Reset}), ours: "unavailable", theirs: "another error"},
		"cut":   {effect: plain(fault.Effect{Reply: fault.Cut}), ours: "unavailable", theirs: "another error"},
		"truncated JSON": {effect: plain(fault.Effect{Reply: fault.Short}),
			ours: "of no use", theirs: "another error"},
		"truncated JSON of a 404": {effect: plain(fault.Effect{Status: 404, Reply: fault.Short}),
			ours: "unavailable", theirs: "another error"},

		"404": {effect: plain(fault.Effect{Status: 404}), ours: "not found", theirs: "error 404: Not Found"},
		"404 for want of a shard": {effect: cssim.Effect{Effect: fault.Effect{Status: 404}, Reason: shortOfShards},
			ours: "of no use", theirs: "error 404: " + shortOfShards},
		"404 without a body": {effect: answering(404, "application/json", ""),
			ours: "unavailable", theirs: "no error, status 404, no body"},
		"404 without a body or a type": {effect: answering(404, "", ""), ours: "unavailable", theirs: "another error"},
		"404 that says nothing": {effect: cssim.Effect{Effect: fault.Effect{Status: 404}, Null: "id|code|reason"},
			ours: "unavailable", theirs: "error 404: "},
		"404 with a bad time": {effect: answering(404, "application/json", `{"kind":"Error","id":"404","timestamp":"now"}`),
			ours: "unavailable", theirs: "another error"},
		"400": {effect: cssim.Effect{Effect: fault.Effect{Status: 400}, Reason: "Bad"}, ours: "of no use", theirs: "error 400: Bad"},
		"409": {effect: plain(fault.Effect{Status: 409}), ours: "of no use", theirs: "error 409: Conflict"},
		"401": {effect: plain(fault.Effect{Status: 401}), ours: "unavailable", theirs: "error 401: Unauthorized"},
		"403": {effect: plain(fault.Effect{Status: 403}), ours: "of no use", theirs: "error 403: Forbidden"},
		"429": {effect: plain(fault.Effect{Status: 429}), ours: "unavailable", theirs: "error 429: Too Many Requests"},
		"429 with Retry-After": {effect: plain(fault.Effect{Status: 429, Header: map[string]string{"Retry-After": "7"}}),
			ours: "unavailable for 7s", theirs: "error 429: Too Many Requests"},
		"503": {effect: plain(fault.Effect{Status: 503}), ours: "unavailable", theirs: "error 503: Service Unavailable"},
		"503 with Retry-After": {effect: plain(fault.Effect{Status: 503, Header: map[string]string{"Retry-After": "120"}}),
			ours: "unavailable for 2m0s", theirs: "error 503: Service Unavailable"},
		"500": {effect: plain(fault.Effect{Status: 500}), ours: "unavailable", theirs: "error 500: Internal Server Error"},
		"502 of a proxy": {effect: answering(502, "text/html", "<html><h1>502 Bad Gateway</h1></html>"),
			ours: "unavailable", theirs: "another error"},
		"503 of a proxy": {effect: answering(503, "text/plain", "upstream connect error"), ours: "unavailable", theirs: "another error"},
		"404 of a proxy": {effect: answering(404, "text/html", "<html>"), ours: "unavailable", theirs: "another error"},
		"200 of a proxy": {effect: answering(200, "text/html", "<html>login</html>"), ours: "unavailable", theirs: "another error"},
		"200 without a body": {effect: answering(200, "application/json", ""),
			ours: "unavailable", theirs: "no error, status 200, no body"},
		"200 of an empty object": {effect: answering(200, "application/json", "{}"), ours: "of no use", theirs: ""},
		"200 of an error":        {effect: plain(fault.Effect{Status: 200}), ours: "of no use", theirs: ""},
		"the object is an error": {effect: plain(fault.Effect{Status: 200}), object: true, ours: "of no use", theirs: "id 200"},

		"unknown state":                      {effect: cssim.Effect{State: "dreaming"}, ours: "dreaming", theirs: "dreaming"},
		"unknown state of a pool":            {effect: cssim.Effect{State: "dreaming"}, ref: poolRef, ours: "dreaming", theirs: "dreaming"},
		"unknown state of an external auth":  {effect: cssim.Effect{State: "dreaming"}, ref: authRef, ours: "dreaming", theirs: "dreaming"},
		"null state":                         {effect: cssim.Effect{Null: "state"}, ours: "of no use", theirs: ""},
		"null state of a pool":               {effect: cssim.Effect{Null: "state.value"}, ref: poolRef, ours: "of no use", theirs: ""},
		"null status of an external auth":    {effect: cssim.Effect{Null: "status"}, ref: authRef, ours: "of no use", theirs: ""},
		"null bool":                          {effect: cssim.Effect{Null: "dns_ready"}, ours: "of no use", theirs: "another error"},
		"null bool of a client's":            {effect: cssim.Effect{Null: "multi_az"}, object: true, ours: "of no use", theirs: "another error"},
		"null bool in the embedded status":   {effect: cssim.Effect{Null: "status.oidc_ready"}, object: true, ours: "of no use", theirs: "another error"},
		"null number of a pool":              {effect: cssim.Effect{Null: "current_replicas"}, ref: poolRef, ours: "of no use", theirs: "another error"},
		"null time":                          {effect: cssim.Effect{Null: "creation_timestamp"}, object: true, ours: "of no use", theirs: "another error"},
		"null text":                          {effect: cssim.Effect{Null: "description|name"}, ours: "ready", theirs: "ready"},
		"null id":                            {effect: cssim.Effect{Null: "id"}, object: true, ours: "of no use", theirs: "id "},
		"null of another path":               {effect: cssim.Effect{Null: "nothing.state|stat"}, ours: "ready", theirs: "ready"},
		"a clock ahead":                      {effect: cssim.Effect{Skew: seconds(3600)}, object: true, ours: "exists", theirs: "id c"},
		"stale from before there was any":    {effect: cssim.Effect{Stale: seconds(100)}, ours: "not found", theirs: "error 404: Cluster with id 'c' not found"},
		"no status in lists is of lists":     {effect: cssim.Effect{DropStatus: true}, ref: authRef, ours: "ready", theirs: "ready"},
		"a header changes nothing":           {effect: plain(fault.Effect{Header: map[string]string{"X-Proxy": "1"}}), ours: "ready", theirs: "ready"},
		"another JSON type is JSON to us":    {effect: plain(fault.Effect{Header: map[string]string{"Content-Type": "application/json; charset=utf-8"}}), ours: "ready", theirs: "ready"},
		"what is no JSON by its own account": {effect: plain(fault.Effect{Header: map[string]string{"Content-Type": "text/json"}}), ours: "unavailable", theirs: "another error"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, cssim.Options{})
				w.want(201, "POST", "/api/aro_hcp/v1alpha1/clusters", `{"id":"c","multi_az":true}`)
				for _, path := range []string{clusterC, poolP, authE} {
					w.plant(path, "ready")
				}
				_, before := w.sim.Requests()
				ref := c.ref
				if ref.Kind == 0 {
					ref = clusterRef
				}
				w.fault(cssim.Fault{Effect: c.effect})
				start := time.Now()
				if have := askOurs(t.Context(), w.client(), ref, c.object); have != c.ours {
					t.Errorf("our client: %q, want %q", have, c.ours)
				}
				if took := time.Since(start); took != c.took {
					t.Errorf("our client took %v, want %v", took, c.took)
				}
				if have := askSDK(t.Context(), w.cluster(), ref, c.object); have != c.theirs {
					t.Errorf("the SDK: %q, want %q", have, c.theirs)
				}
				if _, total := w.sim.Requests(); total-before != 2 {
					t.Errorf("%d requests for two calls", total-before)
				}
				if r := w.sim.Faults().Reports()[0]; r.Hits != 2 || r.Matched != 2 {
					t.Errorf("%d hits of %d matches, want 2 of 2", r.Hits, r.Matched)
				}
			})
		})
	}
}

// What a front end is told when it changes something; what it is refused does not
// happen, and works the next time.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		kind   string
		status int
		reason string
		call   func(context.Context, *world) error
	}{
		"no shard":       {"post", 404, shortOfShards, addCluster},
		"shards full":    {"post", 503, "No capacity left", addCluster},
		"duplicate name": {"post", 400, "Duplicate ARO-HCP cluster name", addCluster},
		"conflict":       {"post", 409, "", addCluster},
		"no token":       {"post", 401, "", addCluster},
		"no permission":  {"post", 403, "", addCluster},
		"throttled":      {"post", 429, "", addCluster},
		"no delete":      {"delete", 409, "Cluster is being deleted", deleteCluster},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, cssim.Options{})
				if c.kind == "delete" {
					w.plant(clusterC, "ready")
				}
				before := w.journal()
				w.fault(cssim.Fault{
					Match: fault.Match{"kind": c.kind}, When: fault.When{Times: 1},
					Effect: cssim.Effect{Effect: fault.Effect{Status: c.status}, Reason: c.reason},
				})
				err := c.call(t.Context(), w)
				var own *ocm.Error
				if !errors.As(err, &own) {
					t.Fatalf("have %v, want an error of the SDK", err)
				}
				id, reason := fmt.Sprint(c.status), c.reason
				if reason == "" {
					reason = http.StatusText(c.status)
				}
				if own.Status() != c.status || own.ID() != id || own.Reason() != reason ||
					own.Code() != "CLUSTERS-MGMT-"+id || own.HREF() != "/api/aro_hcp/v1alpha1/errors/"+id || len(own.OperationID()) != 36 {
					t.Errorf("have %v", own)
				}
				if now := w.journal(); now != before {
					t.Errorf("what is refused has happened: %s, before it %s", now, before)
				}
				if err := c.call(t.Context(), w); err != nil {
					t.Errorf("the next time: %v", err)
				}
				if now := w.journal(); now == before {
					t.Errorf("nothing has happened: %s", now)
				}
			})
		})
	}
}

func addCluster(ctx context.Context, w *world) error {
	body, err := arohcp.NewCluster().ID("c").Name("n").Build()
	if err != nil {
		return err
	}
	_, err = w.clusters().Add().Body(body).SendContext(ctx)
	return err
}

func deleteCluster(ctx context.Context, w *world) error {
	_, err := w.cluster().Delete().SendContext(ctx)
	return err
}

// journal is what was done to the objects and what will come of it, without who
// looked.
func (w *world) journal() string {
	var all strings.Builder
	for _, o := range w.sim.Journal().Objects {
		fmt.Fprintf(&all, "%s %s %t:", o.InternalID, o.State, o.Gone)
		for _, m := range o.Mutations {
			fmt.Fprintf(&all, " %s %v %s %v %s %s;", m.Kind, m.At, m.Outcome, m.OutcomeAt, m.ErrorCode, m.ErrorMessage)
		}
		all.WriteString("\n")
	}
	return all.String()
}

// The answer to a change may be lost after it was made.
func TestLostReply(t *testing.T) {
	for _, reply := range []fault.Reply{fault.Reset, fault.Hang} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, cssim.Options{})
			w.fault(cssim.Fault{
				Match: fault.Match{"kind": "post"}, When: fault.When{Times: 1},
				Effect: plain(fault.Effect{Reply: reply, Applied: true}),
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := addCluster(ctx, w); err == nil {
				t.Fatal("no error")
			}
			var own *ocm.Error
			if err := addCluster(t.Context(), w); !errors.As(err, &own) || own.Status() != http.StatusConflict {
				t.Errorf("again: %v, want a conflict", err)
			}
		})
	}
}

// How often the SDK, left to its defaults, repeats a request, and how long that
// takes: it knows neither Retry-After nor the context while it waits.
func TestRetriesOfTheSDK(t *testing.T) {
	retryAfter := map[string]string{"Retry-After": "60"}
	get := func(ctx context.Context, w *world) error {
		_, err := w.cluster().Status().Get().SendContext(ctx)
		return err
	}
	const twice = 3 * time.Second // 1 s, then 2 s, each a fifth more or less by chance
	for name, c := range map[string]struct {
		effect   fault.Effect
		times    int // 0: for ever
		call     func(context.Context, *world) error
		deadline time.Duration // 0: a minute
		requests int
		took     time.Duration
		fails    bool
	}{
		"GET 503":             {fault.Effect{Status: 503}, 0, get, 0, 3, twice, true},
		"GET 503 once":        {fault.Effect{Status: 503}, 1, get, 0, 2, time.Second, false},
		"GET 503 Retry-After": {fault.Effect{Status: 503, Header: retryAfter}, 1, get, 0, 2, time.Second, false},
		"GET 429":             {fault.Effect{Status: 429}, 0, get, 0, 3, twice, true},
		"GET 500":             {fault.Effect{Status: 500}, 0, get, 0, 3, twice, true},
		"GET 404":             {fault.Effect{Status: 404}, 0, get, 0, 1, 0, true},
		"GET reset":           {fault.Effect{Reply: fault.Reset}, 0, get, 0, 3, twice, true},
		"GET cut":             {fault.Effect{Reply: fault.Cut}, 0, get, 0, 1, 0, true},
		"GET hang":            {fault.Effect{Reply: fault.Hang}, 0, get, 0, 1, time.Minute, true},
		"GET 503, 300 ms":     {fault.Effect{Status: 503}, 0, get, 300 * time.Millisecond, 1, time.Second, true},
		"POST 503":            {fault.Effect{Status: 503}, 0, addCluster, 0, 3, twice, true},
		"POST 429":            {fault.Effect{Status: 429}, 1, addCluster, 0, 2, time.Second, false},
		"POST 500":            {fault.Effect{Status: 500}, 0, addCluster, 0, 1, 0, true},
		"POST reset":          {fault.Effect{Reply: fault.Reset}, 0, addCluster, 0, 1, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, cssim.Options{})
				quiet, err := logging.NewGoLoggerBuilder().Warn(false).Build()
				if err != nil {
					t.Fatal(err)
				}
				w.sdk, err = sdk.NewUnauthenticatedConnectionBuilder().URL("http://sim.test").Logger(quiet).
					TransportWrapper(func(http.RoundTripper) http.RoundTripper { return inproc.New(w.sim) }).Build()
				if err != nil {
					t.Fatal(err)
				}
				defer w.sdk.Close()
				if strings.HasPrefix(name, "GET") {
					w.plant(clusterC, "ready")
				}
				w.fault(cssim.Fault{Effect: plain(c.effect), When: fault.When{Times: c.times}})
				deadline := c.deadline
				if deadline == 0 {
					deadline = time.Minute
				}
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				defer cancel()
				start := time.Now()
				if err := c.call(ctx, w); (err != nil) != c.fails {
					t.Errorf("error %v, want one: %t", err, c.fails)
				}
				took := time.Since(start)
				if _, total := w.sim.Requests(); total != c.requests {
					t.Errorf("%d requests, want %d", total, c.requests)
				}
				if took < c.took*4/5 || took > c.took*6/5 {
					t.Errorf("took %v, want %v, more or less", took, c.took)
				}
			})
		})
	}
}

// poll asks our client n times, once a second.
func poll(t *testing.T, c *cs.Client, ref cs.Ref, n int) string {
	t.Helper()
	var got []string
	for range n {
		got = append(got, askOurs(t.Context(), c, ref, false))
		time.Sleep(time.Second)
	}
	return strings.Join(got, ",")
}

func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{})
		w.plant(clusterC, "ready")
		w.fault(cssim.Fault{When: fault.When{After: 1, Times: 3}, Effect: plain(fault.Effect{Status: 500})})
		want := "ready,unavailable,unavailable,unavailable,ready,ready"
		if have := poll(t, w.client(), clusterRef, 6); have != want {
			t.Errorf("have %s, want %s", have, want)
		}
	})
}

func TestFlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{})
		w.plant(clusterC, "ready")
		w.plant(poolP, "updating")
		w.plant(authE, "error")
		for name, ref := range map[string]cs.Ref{"cluster": clusterRef, "nodepool": poolRef, "externalauth": authRef} {
			w.fault(cssim.Fault{Name: name, Match: fault.Match{"object": name}, Effect: cssim.Effect{Flap: true}})
			want := map[string]string{
				"cluster":      "updating,ready,updating,ready",
				"nodepool":     "ready,updating,ready,updating",
				"externalauth": "error,error,error,error",
			}[name]
			if have := poll(t, w.client(), ref, 4); have != want {
				t.Errorf("%s: have %s, want %s", name, have, want)
			}
		}
		// In lists, too; and nothing has happened to the objects.
		pools := fmt.Sprint(w.poolStates(), w.poolStates())
		if pools != "[ready] [updating]" {
			t.Errorf("the list of pools shows %s", pools)
		}
		w.sim.Faults().Clear()
		if have := poll(t, w.client(), poolRef, 2); have != "updating,updating" {
			t.Errorf("have %s after the fault", have)
		}
	})
}

// poolStates lists the pools of the cluster through the SDK.
func (w *world) poolStates() []string {
	w.t.Helper()
	list, err := w.cluster().NodePools().List().SendContext(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	states := []string{}
	for _, p := range list.Items().Slice() {
		states = append(states, p.Status().State().NodePoolStateValue())
	}
	return states
}

// A list lags behind the status: it has what is new later, and what is gone
// longer.
func TestStaleList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{StaleAfterDelete: -1, Durations: cssim.Durations{
			NodePoolCreate: cssim.Between{Min: 100 * time.Second, Max: 100 * time.Second},
			NodePoolDelete: cssim.Between{Min: 30 * time.Second, Max: 30 * time.Second},
		}})
		w.plant(clusterC, "ready")
		time.Sleep(time.Minute)
		w.fault(cssim.Fault{Match: fault.Match{"kind": "list"}, Effect: cssim.Effect{Stale: seconds(10)}})
		c := w.client()
		look := func() string {
			return fmt.Sprint(askOurs(t.Context(), c, poolRef, false), " ", w.poolStates())
		}
		step := func(after time.Duration, want string) {
			t.Helper()
			time.Sleep(after)
			if have := look(); have != want {
				t.Errorf("status and list show %s, want %s", have, want)
			}
		}
		w.want(201, "POST", clusterC+"/node_pools", `{"id":"p"}`)
		step(time.Second, "validating []")               // 1 s
		step(9*time.Second, "pending [validating]")      // 10 s
		step(9*time.Second, "installing [pending]")      // 19 s
		step(90*time.Second, "ready [installing]")       // 109 s
		step(time.Second, "ready [ready]")               // 110 s
		w.want(204, "DELETE", poolP, "")                 //
		step(time.Second, "uninstalling [ready]")        // 1 s
		step(30*time.Second, "not found [uninstalling]") // 31 s
		// A new life begins where the old one has ended; the list still shows that.
		w.want(201, "POST", clusterC+"/node_pools", `{"id":"p"}`)
		step(time.Second, "validating [uninstalling]") // 1 s
		step(8*time.Second, "pending []")              // 9 s
		w.plant(poolP, "ready")
		step(time.Second, "ready [validating]")
		step(9*time.Second, "ready [ready]")
	})
}

// What was under a cluster that is gone by now is still shown, too.
func TestStaleChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{})
		w.plant(poolP, "ready")
		w.plant(authE, "ready")
		time.Sleep(time.Minute)
		w.plant(clusterC, "gone")
		time.Sleep(5 * time.Second)
		w.fault(cssim.Fault{Match: fault.Match{"agent": "raw"}, Effect: cssim.Effect{Stale: seconds(10)}})
		for _, path := range []string{
			clusterC, clusterC + "/node_pools", poolP, poolP + "/status", authE, clusterC + "/inflight_checks", clusterC + "/external_auth_config",
		} {
			w.want(200, "GET", path, "")
		}
		if have := askOurs(t.Context(), w.client(), poolRef, false); have != "not found" {
			t.Errorf("whom the rule is not for sees %s", have)
		}
		w.want(404, "DELETE", clusterC, "") // only what is shown is stale
		w.want(404, "PATCH", poolP, "{}")
	})
}

// Times are off by as much as the rule says, all of them, and nothing else is.
func TestSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{})
		w.want(201, "POST", "/api/aro_hcp/v1alpha1/clusters", `{"id":"c","name":"2026-01-02","size":12345678901234567890,"at":"2026-01-02T03:04:05.123456789+02:00"}`)
		w.plant(poolP, "ready")
		now := time.Now().UTC().Truncate(time.Second)
		for _, skew := range []float64{-90, 7200} {
			w.fault(cssim.Fault{Effect: cssim.Effect{Skew: seconds(skew)}})
			want := now.Add(time.Duration(skew) * time.Second)
			cluster, err := w.cluster().Get().SendContext(t.Context())
			if err != nil || !cluster.Body().CreationTimestamp().Equal(want) || cluster.Body().Name() != "2026-01-02" {
				t.Errorf("cluster of %v, %q, %v; want %v", cluster.Body().CreationTimestamp(), cluster.Body().Name(), err, want)
			}
			text := w.want(200, "GET", clusterC, "")
			posted := time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.FixedZone("", 7200)).Add(time.Duration(skew) * time.Second)
			for _, part := range []string{`"size":12345678901234567890,`, `"at":"` + posted.Format(time.RFC3339Nano) + `"`} {
				if !strings.Contains(text, part) {
					t.Errorf("%s is not in %s", part, text)
				}
			}
			pools, err := w.cluster().NodePools().List().SendContext(t.Context())
			if err != nil || !pools.Items().Get(0).Status().State().LastUpdatedTimestamp().Equal(want) {
				t.Errorf("pool of %v, %v; want %v", pools.Items().Get(0).Status().State().LastUpdatedTimestamp(), err, want)
			}
			_, err = w.clusters().Cluster("x").Get().SendContext(t.Context())
			var own *ocm.Error
			if !errors.As(err, &own) || own.Timestamp() == nil || !own.Timestamp().Equal(want) {
				t.Errorf("error %v, want one of %v", err, want)
			}
		}
	})
}

func TestDropStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{})
		w.plant(poolP, "ready")
		w.fault(cssim.Fault{Match: fault.Match{"object": "nodepool|cluster"}, Effect: cssim.Effect{DropStatus: true}})
		if have := w.poolStates(); !slices.Equal(have, []string{""}) {
			t.Errorf("the list has the states %q", have)
		}
		if have := askOurs(t.Context(), w.client(), poolRef, false); have != "ready" {
			t.Errorf("the status is %s", have)
		}
		clusters, err := w.clusters().List().SendContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := clusters.Items().Get(0).GetStatus(); ok || clusters.Items().Get(0).State() != "ready" {
			t.Errorf("the list has %v", clusters.Items().Get(0))
		}
	})
}

// A list takes long; nothing else does.
func TestSlowList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{})
		w.plant(poolP, "ready")
		w.fault(cssim.Fault{Match: fault.Match{"kind": "list"}, Effect: plain(fault.Effect{Before: seconds(5)})})
		start := time.Now()
		w.poolStates()
		list := time.Since(start)
		askOurs(t.Context(), w.client(), poolRef, false)
		if all := time.Since(start); list != 5*time.Second || all != list {
			t.Errorf("the list took %v, the status %v", list, all-list)
		}
	})
}

// Two rules make latency with a long tail; the same seed makes the same.
func TestLatencyWithATail(t *testing.T) {
	run := func(seed uint64) (took []time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, cssim.Options{})
			w.plant(clusterC, "ready")
			w.fault(cssim.Fault{Name: "body", When: fault.When{Seed: seed},
				Effect: plain(fault.Effect{Before: seconds(.02), Jitter: seconds(.08)})})
			w.fault(cssim.Fault{Name: "tail", When: fault.When{Probability: .05, Seed: seed},
				Effect: plain(fault.Effect{After: seconds(3), Jitter: seconds(3)})})
			c := w.client()
			for range 1000 {
				start := time.Now()
				if have := askOurs(t.Context(), c, clusterRef, false); have != "ready" {
					t.Fatal(have)
				}
				took = append(took, time.Since(start))
			}
		})
		return took
	}
	first := run(1)
	if !slices.Equal(first, run(1)) {
		t.Error("the same seed does not make the same latencies")
	}
	sorted := slices.Sorted(slices.Values(first))
	if sorted[0] < 20*time.Millisecond || sorted[500] > 100*time.Millisecond || sorted[990] < 3*time.Second || sorted[999] > 6100*time.Millisecond {
		t.Errorf("least %v, median %v, 99 %% %v, most %v", sorted[0], sorted[500], sorted[990], sorted[999])
	}
	if tail := slices.IndexFunc(sorted, func(d time.Duration) bool { return d > time.Second }); tail < 920 || tail > 980 {
		t.Errorf("%d of 1000 are quick", tail)
	}
}

// What chance decides does not depend on faults, nor on who is refused.
func TestFaultsChangeNoObject(t *testing.T) {
	run := func(faults ...cssim.Effect) (journal string, latency time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, cssim.Options{Seed: 3, FailureRate: .5, LatencyJitter: time.Second})
			for i, e := range faults {
				w.fault(cssim.Fault{Name: fmt.Sprint(i), Match: fault.Match{"method": "GET"}, When: fault.When{Probability: .5}, Effect: e})
			}
			for i := range 20 {
				path := fmt.Sprintf("%s%d", clusterC, i)
				w.do("POST", "/api/aro_hcp/v1alpha1/clusters", fmt.Sprintf(`{"id":"c%d"}`, i))
				w.do("POST", path+"/node_pools", `{"name":"p"}`) // its id is made up
				w.do("GET", path, "")
				w.do("GET", path+"/node_pools", "")
			}
			start := time.Now()
			w.do("GET", clusterC+"7", "")
			latency = time.Since(start)
			time.Sleep(time.Hour)
			for i := range 20 {
				w.do("PATCH", fmt.Sprintf("%s%d", clusterC, i), "{}")
			}
			time.Sleep(time.Hour)
			journal = w.journal()
		})
		return journal, latency
	}
	without, latency := run()
	with, same := run(
		plain(fault.Effect{Status: 503}), answering(502, "text/html", "<html>"), plain(fault.Effect{Reply: fault.Short}),
		cssim.Effect{State: "dreaming", Flap: true, Stale: seconds(60), Null: "state", Skew: seconds(60), DropStatus: true},
	)
	if without != with || !strings.Contains(without, "error") {
		t.Errorf("without faults:\n%s\nwith faults:\n%s", without, with)
	}
	if latency != same || latency == 0 {
		t.Errorf("latency %v without faults, %v with", latency, same)
	}
}

// Every attribute that a rule may ask for.
func TestMatch(t *testing.T) {
	const mgmt = "/api/clusters_mgmt/v1/clusters/c"
	requests := []string{
		0:  "GET " + clusterC,
		1:  "GET " + clusterC + "/status",
		2:  "GET " + poolP + "/status",
		3:  "GET " + clusterC + "/node_pools",
		4:  "GET " + authE,
		5:  "GET " + clusterC + "/inflight_checks",
		6:  "GET " + clusterC + "/external_auth_config",
		7:  "GET /api/aro_hcp/v1alpha1/clusters",
		8:  "POST " + clusterC + "/node_pools",
		9:  "PATCH " + mgmt,
		10: "DELETE " + mgmt + "/node_pools/p",
		11: "GET " + mgmt + "/hypershift",
		12: "GET " + credentials,
		13: "DELETE " + credentials,
	}
	for pattern, want := range map[string][]int{
		"kind=get":                {0, 4},
		"kind=status":             {1, 2},
		"kind=list":               {3, 7, 12},
		"kind=checks|config":      {5, 6},
		"kind=post":               {8},
		"kind=patch":              {9},
		"kind=delete":             {10, 13},
		"kind=other":              {11},
		"object=cluster":          {0, 1, 5, 6, 7, 9},
		"object=nodepool":         {2, 3, 8, 10},
		"object=externalauth":     {4},
		"object=credential":       {12, 13},
		"object=":                 {11},
		"cluster=c":               {0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 13},
		"cluster=d":               nil,
		"child=p":                 {2, 10},
		"api=clusters_mgmt":       {9, 10, 11, 12, 13},
		"api=aro_hcp kind=list":   {3, 7},
		"agent=raw method=DELETE": {10, 13},
		"agent=opfeed":            nil,
		"method=P*":               {8, 9},
	} {
		t.Run(pattern, func(t *testing.T) {
			w := newWorld(t, cssim.Options{})
			match := fault.Match{}
			for one := range strings.FieldsSeq(pattern) {
				name, value, _ := strings.Cut(one, "=")
				match[name] = value
			}
			w.fault(cssim.Fault{Match: match, Effect: plain(fault.Effect{Status: 418})})
			var have []int
			for i, r := range requests {
				method, path, _ := strings.Cut(r, " ")
				if status, _, _ := w.do(method, path, "{}"); status == 418 {
					have = append(have, i)
				}
			}
			if !slices.Equal(have, want) {
				t.Errorf("hits %v, want %v", have, want)
			}
		})
	}
}

func TestInvalidFaults(t *testing.T) {
	body := ""
	for want, e := range map[string]cssim.Effect{
		"stale cannot":                   {Stale: -1},
		"reason needs a status":          {Reason: "x"},
		"reason needs a status and no b": {Reason: "x", Effect: fault.Effect{Status: 404, Body: &body}},
		"what is shown of objects":       {State: "x", Effect: fault.Effect{Status: 404}},
		"cannot be changed in an answer": {Null: "x", Effect: fault.Effect{Status: 404, Body: &body}},
		"reply is":                       {Effect: fault.Effect{Reply: "x"}},
	} {
		err := cssim.New(cssim.Options{}).Faults().Add(cssim.Fault{Name: "it", Effect: e})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("have %v, want %q", err, want)
		}
	}
	for _, e := range []cssim.Effect{
		{Skew: -1}, {Null: "timestamp", Effect: fault.Effect{Status: 404}}, {Reason: "x", Effect: fault.Effect{Status: 404}},
	} {
		if err := cssim.New(cssim.Options{}).Faults().Add(cssim.Fault{Name: "it", Effect: e}); err != nil {
			t.Error(err)
		}
	}
}

// Rules that hit the same request add up; the first of those that contradict
// each other holds.
func TestSeveralFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{})
		w.plant(clusterC, "ready")
		w.fault(cssim.Fault{Name: "slow", Effect: plain(fault.Effect{Before: seconds(1)})})
		w.fault(cssim.Fault{Name: "one", Effect: cssim.Effect{State: "one", Null: "description"}})
		w.fault(cssim.Fault{Name: "two", Effect: cssim.Effect{State: "two", Null: "dns_ready"}})
		start := time.Now()
		text := w.want(200, "GET", clusterC+"/status", "")
		for _, part := range []string{`"state":"one"`, `"description":null`, `"dns_ready":null`} {
			if !strings.Contains(text, part) {
				t.Errorf("%s is not in %s", part, text)
			}
		}
		w.fault(cssim.Fault{Name: "full", Effect: cssim.Effect{Effect: fault.Effect{Status: 503}}})
		w.fault(cssim.Fault{Name: "missing", Effect: cssim.Effect{Effect: fault.Effect{Status: 404}, Reason: "not this"}})
		if text := w.want(503, "GET", clusterC+"/status", ""); strings.Contains(text, "not this") {
			t.Errorf("a reason of another status: %s", text)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}
