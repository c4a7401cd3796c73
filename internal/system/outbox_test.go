package system_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
	"opfeed/internal/workload"
)

const armHost = "management.azure.com"

// TestOwedNotificationsOutliveAnHour lets every endpoint of ARM fail for an hour
// while replicas are killed and restarted. When it is over each operation that
// asked for it has been told, with the status that is stored, and none before it
// was stored. No URI that is not ARM's was ever called.
func TestOwedNotificationsOutliveAnHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := newARM(w)
		play := &outboxPlay{world: w, arm: a, rng: rand.New(rand.NewPCG(7, 7)), want: map[string]string{}}
		play.next()
		play.operations(20)
		for range outboxRestarts {
			time.Sleep(time.Duration(1+play.rng.IntN(int(2*outboxHour/outboxRestarts/time.Second))) * time.Second)
			play.next()
			play.operations(8)
		}
		if past := time.Since(play.began); past < outboxHour {
			time.Sleep(outboxHour - past)
		}
		time.Sleep(2 * time.Minute) // all have ended, and have their URI
		if n := play.replica.Snapshot().PendingByState["Owed"]; n < len(play.want) {
			t.Errorf("%d are shown as owed, want at least %d", n, len(play.want))
		}
		if n := a.delivered(); n != 0 {
			t.Fatalf("%d delivered while every endpoint fails", n)
		}
		a.well.Store(true)
		for range cap(a.crash) { // and each crash is one between the POST and the removal
			select {
			case <-a.crashed:
			case <-time.After(15 * time.Minute):
				t.Error("nothing is told")
			}
			play.next()
		}
		time.Sleep(15 * time.Minute) // more than the longest pause
		play.check()
		play.leaving.Wait()
	})
}

// arm plays ARM, and is the only way to it.
type arm struct {
	front *azcosmos.ContainerClient
	t     *testing.T
	well  atomic.Bool

	mu     sync.Mutex
	rng    *rand.Rand
	tries  int
	called map[string]bool             // URLs
	told   map[string][]map[string]any // bodies that were taken, by document

	crash   chan struct{} // whoever takes one dies once it has told ARM
	crashed chan struct{}
}

func newARM(w *world) *arm {
	w.t.Helper()
	const crashes = 3
	a := &arm{front: w.resources(), t: w.t, rng: rand.New(rand.NewPCG(3, 3)), called: map[string]bool{},
		told: map[string][]map[string]any{}, crash: make(chan struct{}, crashes), crashed: make(chan struct{}, crashes)}
	for range crashes {
		a.crash <- struct{}{}
	}
	return a
}

// ServeHTTP is told at /{document}: first it is checked that it is true.
func (a *arm) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	id := strings.TrimPrefix(req.URL.Path, "/")
	raw, _ := io.ReadAll(req.Body)
	var body map[string]any
	if err := json.Unmarshal(raw, &body); err != nil {
		a.t.Errorf("%v in %s", err, raw)
	}
	stored := a.stored(id)
	for name, field := range map[string]string{"status": "status", "endTime": "lastTransitionTime"} {
		if body[name] != stored[field] {
			a.t.Errorf("%s: told %s %v, stored is %v", id, name, body[name], stored[field])
		}
	}
	switch stored["status"] {
	case "Succeeded", "Failed", "Canceled":
	default:
		a.t.Errorf("%s: told of %v", id, stored["status"])
	}
	a.mu.Lock()
	a.tries++
	how := a.rng.IntN(4)
	a.mu.Unlock()
	switch {
	case strings.HasPrefix(id, "redirect"):
		http.Redirect(w, req, "https://10.0.0.1/inside", http.StatusTemporaryRedirect)
	case a.well.Load():
		a.mu.Lock()
		a.told[id] = append(a.told[id], body)
		a.mu.Unlock()
	case how == 0:
		w.WriteHeader(http.StatusInternalServerError)
	case how == 1:
		<-req.Context().Done()
	case how == 2:
		panic(http.ErrAbortHandler)
	default:
		w.Header().Set("Retry-After", "90")
		w.WriteHeader(http.StatusTooManyRequests)
	}
}

func (a *arm) stored(id string) map[string]any {
	resp, err := a.front.ReadItem(a.t.Context(), azcosmos.NewPartitionKeyString(subscriptionOf(id)), id, nil)
	if err != nil {
		a.t.Errorf("read %s: %v", id, err)
		return nil
	}
	var doc struct{ Properties map[string]any }
	if err := json.Unmarshal(resp.Value, &doc); err != nil {
		a.t.Error(err)
	}
	return doc.Properties
}

func (a *arm) delivered() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.told)
}

// armWire is the way of one replica to ARM, which ends with it.
type armWire struct {
	*arm
	dead *atomic.Bool
}

// RoundTrip implements http.RoundTripper.
func (x armWire) RoundTrip(req *http.Request) (*http.Response, error) {
	if x.dead.Load() {
		return nil, errDead
	}
	x.mu.Lock()
	x.called[req.URL.Scheme+"://"+req.URL.Host] = true
	x.mu.Unlock()
	resp, err := inproc.New(x.arm).RoundTrip(req)
	if x.dead.Load() {
		return nil, errDead
	}
	if err == nil && resp.StatusCode == http.StatusOK {
		select {
		case <-x.crash:
			x.dead.Store(true)
			x.crashed <- struct{}{}
		default:
		}
	}
	return resp, err
}

// outboxPlay is a front end whose operations ask that ARM be told.
type outboxPlay struct {
	*world
	arm     *arm
	rng     *rand.Rand
	began   time.Time
	replica *replica
	dead    *atomic.Bool
	leaving sync.WaitGroup
	made    int
	want    map[string]string // statuses, by document
	refused []string
}

// next ends the replica that runs, if one does, gently or not, and starts one.
func (p *outboxPlay) next() {
	if p.replica != nil {
		if p.rng.IntN(3) > 0 {
			p.dead.Store(true)
		}
		p.leaving.Go(p.replica.stop)
	} else {
		p.began = time.Now()
	}
	cosmos := &mortal{next: inproc.New(p.cosmos)}
	p.dead = &cosmos.dead
	p.notify = armWire{p.arm, p.dead}
	p.replica = p.start(cosmos)
}

// subscriptionOf spreads documents over five.
func subscriptionOf(id string) string {
	n := 0
	for _, c := range id {
		n += int(c)
	}
	return fmt.Sprintf("00000000-0000-0000-0000-00000000000%d", n%5)
}

// operations makes so many of each end.
func (p *outboxPlay) operations(n int) {
	for range n {
		p.made++
		now := time.Now().UTC().Format(time.RFC3339Nano)
		props := func(id, status, internalID string) map[string]any {
			return map[string]any{
				"request": "Create", "status": status, "internalId": internalID, "startTime": now, "lastTransitionTime": now,
				"operationId":     "/subscriptions/" + subscriptionOf(id) + "/providers/p/locations/l/hcpOperationStatuses/" + id,
				"notificationUri": "https://" + armHost + "/" + id + "?token=t",
			}
		}
		switch p.made % 8 {
		case 0, 1: // by us
			state, want := "ready", "Succeeded"
			if p.made%16 == 0 {
				state, want = "error", "Failed"
			}
			id := fmt.Sprint("op-", p.made)
			internalID := "/api/aro_hcp/v1alpha1/clusters/c" + fmt.Sprint(p.made)
			if err := p.cs.Plant(internalID, state); err != nil {
				p.t.Fatal(err)
			}
			p.put(id, props(id, "Accepted", internalID))
			p.want[id] = want
		case 2: // canceled by a front end, after a while
			id := fmt.Sprint("canceled-", p.made)
			p.put(id, props(id, "Accepted", ""))
			after := time.Duration(p.made%50) * time.Second
			p.leaving.Go(func() {
				time.Sleep(after)
				p.patch(id, "/properties/status", "Canceled", "/properties/error", map[string]string{"code": "Canceled", "message": "superseded"})
			})
			p.want[id] = "Canceled"
		case 3: // the URI comes after the end
			id := fmt.Sprint("late-", p.made)
			d := props(id, "Failed", "")
			uri := d["notificationUri"]
			delete(d, "notificationUri")
			p.put(id, d)
			p.leaving.Go(func() {
				time.Sleep(time.Minute)
				p.patch(id, "/properties/notificationUri", uri)
			})
			p.want[id] = "Failed"
		case 4: // implicit
			id := fmt.Sprint("implicit-", p.made)
			d := props(id, "Succeeded", "")
			delete(d, "operationId")
			p.put(id, d)
			p.want[id] = "Succeeded"
		case 5:
			id := fmt.Sprint("redirect-", p.made)
			p.put(id, props(id, "Succeeded", ""))
			p.refused = append(p.refused, id)
		default:
			uris := []string{"http://" + armHost + "/", "https://10.0.0.1/", "https://example.com/", "https://169.254.169.254/", "https://[::1]/"}
			id := fmt.Sprint("refused-", p.made)
			d := props(id, "Succeeded", "")
			d["notificationUri"] = uris[p.rng.IntN(len(uris))] + id
			p.put(id, d)
			p.refused = append(p.refused, id)
		}
	}
}

func (p *outboxPlay) put(id string, properties map[string]any) {
	p.t.Helper()
	p.putIn(subscriptionOf(id), id, properties)
}

func (p *outboxPlay) putIn(subscription, id string, properties map[string]any) {
	p.t.Helper()
	raw, _ := json.Marshal(map[string]any{
		"id": id, "partitionKey": subscription, "resourceType": "Microsoft.RedHatOpenShift/hcpOperationStatuses",
		"ttl": 604800, "properties": properties,
	})
	if _, err := p.arm.front.CreateItem(p.t.Context(), azcosmos.NewPartitionKeyString(subscription), raw, nil); err != nil {
		p.t.Fatal(err)
	}
}

func (p *outboxPlay) patch(id string, pairs ...any) {
	p.t.Helper()
	var ops azcosmos.PatchOperations
	for i := 0; i+1 < len(pairs); i += 2 {
		path, _ := pairs[i].(string)
		ops.AppendSet(path, pairs[i+1])
	}
	if _, err := p.arm.front.PatchItem(p.t.Context(), azcosmos.NewPartitionKeyString(subscriptionOf(id)), id, ops, nil); err != nil {
		p.t.Error(err)
	}
}

// check holds what ARM was told to what is stored.
func (p *outboxPlay) check() {
	p.t.Helper()
	p.arm.mu.Lock()
	defer p.arm.mu.Unlock()
	twice := 0
	for id, status := range p.want {
		told, stored := p.arm.told[id], p.arm.stored(id)
		if len(told) == 0 || stored["status"] != status || stored["notificationUri"] != nil {
			p.t.Errorf("%s: told %v, want %s, stored is %v", id, told, status, stored)
		}
		twice += len(told) - 1
	}
	for _, id := range p.refused {
		if stored := p.arm.stored(id); len(p.arm.told[id]) > 0 || stored["notificationUri"] != nil {
			p.t.Errorf("%s: told %v, stored is %v", id, p.arm.told[id], stored)
		}
	}
	if len(p.arm.called) != 1 || !p.arm.called["https://"+armHost] {
		p.t.Errorf("called %v", p.arm.called)
	}
	if s := p.replica.Snapshot(); s.PendingByState["Owed"] != 0 || len(s.Quarantined) != 0 {
		p.t.Errorf("owed %d, quarantined %v", s.PendingByState["Owed"], s.Quarantined)
	}
	if twice < cap(p.arm.crash) {
		p.t.Errorf("%d were told again, after %d crashes", twice, cap(p.arm.crash))
	}
	p.t.Logf("%d owed, %d refused, %d replicas, %d tries, %d told again", len(p.want), len(p.refused), p.starts, p.arm.tries, twice)
}

// resources is the front end's client of the container.
func (w *world) resources() *azcosmos.ContainerClient {
	w.t.Helper()
	key, err := azcosmos.NewKeyCredential(cosmosemu.WellKnownKey)
	if err != nil {
		w.t.Fatal(err)
	}
	client, errClient := azcosmos.NewClientWithKey(w.cosmosURL(frontEnd), key, &azcosmos.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: policy.Transporter(inproc.New(w.cosmos))}})
	if errClient != nil {
		w.t.Fatal(errClient)
	}
	c, err := client.NewContainer(database, "Resources")
	if err = errors.Join(err); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// TestHangingNotificationsDelayNothing: with hundreds of notifications owed and
// an ARM that never answers, operations are taken up and written back, and the
// feed is read and checkpointed, as ever.
func TestHangingNotificationsDelayNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		hanging := atomic.Int64{}
		w.notify = inproc.New(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			hanging.Add(1)
			<-req.Context().Done()
		}))
		owed := &outboxPlay{world: w, arm: &arm{front: w.resources()}}
		busy := workload.NewPlan(1, 3).Subscriptions() // the same as the front end's
		for i := range owedNotifications {
			id := fmt.Sprint("op-", i)
			owed.putIn(busy[i%len(busy)], id, map[string]any{"status": "Canceled", "request": "Create", "notificationUri": "https://" + armHost + "/" + id})
		}
		r := w.start(inproc.New(w.cosmos))
		report, err := w.frontEnd(func(c *workload.Config) {
			c.Subscriptions, c.Rate, c.For, c.Drain, c.Seed = len(busy), 1.5, time.Minute, 4*time.Minute, 1
		}).Run(t.Context())
		if err != nil {
			t.Error(err)
		}
		w.want(report, 60)
		if p := report.PickupSeconds; p.Max > 2 {
			t.Errorf("an operation was taken up after %.1f s", p.Max)
		}
		s := r.Snapshot()
		if s.PendingByState["Owed"] != owedNotifications || r.gauge(t, "opfeed_notifications_owed") != owedNotifications || s.Recovered != 0 {
			t.Errorf("owed %d, recovered %d", s.PendingByState["Owed"], s.Recovered)
		}
		if behind := s.Now.Sub(s.Ranges[0].LastRead); behind > time.Second || s.Ranges[0].Continuation == "" {
			t.Errorf("the feed was last read %s ago", behind)
		}
		began := time.Now()
		if r.stop(); time.Since(began) > 6*time.Second {
			t.Errorf("stopped after %s", time.Since(began))
		}
		t.Logf("%d tries hung; picked up within %.2f s", hanging.Load(), report.PickupSeconds.Max)
	})
}

// owedNotifications is how many of them hang.
const owedNotifications = 300

func (r *replica) gauge(t *testing.T, name string) float64 {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Errorf("no metric %s", name)
	return 0
}
