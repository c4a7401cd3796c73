package simulation_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"opfeed/cs/cssim"
	"opfeed/internal/cosmosemu"
	"opfeed/internal/envconf"
	"opfeed/internal/fault"
	"opfeed/internal/inproc"
	"opfeed/internal/service"
	"opfeed/internal/workload"
)

const speed = 60 // of Cluster Service

// cluster is what runs in one bubble.
type cluster struct {
	t       *testing.T
	plan    plan
	name    string
	story   *story
	account *account
	cs      *cssim.Server
	arm     *workload.ARM
	log     bool

	mu       sync.Mutex
	alive    []*replica // in order of age
	started  int
	leaving  sync.WaitGroup // replicas
	stray    sync.WaitGroup // requests
	poisoned []string
	count    tally

	// For scenes: the first replica dies with this request of its, 0 for none; who
	// there was, how long each took to stop, and what the front end says.
	doomFirst int
	everyone  []*replica
	stops     []time.Duration
	report    workload.Report
}

// tally counts what a cluster went through.
type tally struct {
	hours                                     float64
	operations, faults, owners                int
	crashes, pauses, restarts, splits, merges int
}

func (t *tally) add(o tally) {
	t.hours += o.hours
	t.operations += o.operations
	t.faults += o.faults
	t.owners += o.owners
	t.crashes += o.crashes
	t.pauses += o.pauses
	t.restarts += o.restarts
	t.splits += o.splits
	t.merges += o.merges
}

// replica is one process.
type replica struct {
	cluster *cluster
	number  int
	process process
	stop    context.CancelFunc
	ended   chan struct{}

	startID string    // of its leases; the account's lock guards it
	hurt    time.Time // when a fault last hit it; the same

	listings []time.Time // when it listed the leases; the same
}

func (r *replica) String() string {
	if r == nil {
		return "front end"
	}
	return fmt.Sprintf("r%d", r.number)
}

// hit tells that a fault has hit a request.
func (r *replica) hit(name string, q *request) {
	r.cluster.account.hit(r)
	what := ""
	if q != nil {
		what = fmt.Sprintf(" at %s %s", q.kind, q.container)
	}
	r.cluster.story.tell("fault %q hits %s%s", name, r, what)
}

func newCluster(t *testing.T, name string, p plan) *cluster {
	t.Helper()
	s := newStory()
	a, err := newAccount(p, s)
	if err != nil {
		t.Fatal(err)
	}
	a.checks.reshaped()
	c := &cluster{
		t: t, plan: p, name: name, story: s, account: a, arm: workload.NewARM(1),
		cs: cssim.New(cssim.Options{Speed: speed, Seed: p.seed, FailureRate: 0.1, LogRequests: -1,
			Latency: p.latency / 2, LatencyJitter: p.latency,
			Durations: cssim.Durations{
				CredentialLife: cssim.Between{Min: speed * 24 * time.Hour, Max: speed * 24 * time.Hour},
			}}),
	}
	return c
}

// cosmosURL is the account's address for one client: azcosmos holds a mutex for
// each address while it waits for an answer about a container. They differ in the
// port alone, since the ids of leases begin with the host.
func (c *cluster) cosmosURL(client int) string {
	return fmt.Sprintf("http://%s.cosmos.test:%d", c.name, 8000+client)
}

func (c *cluster) csURL() string { return "http://" + c.name + ".cs.test" }

// start adds a replica.
func (c *cluster) start() {
	c.mu.Lock()
	c.started++
	r := &replica{cluster: c, number: c.started, ended: make(chan struct{})}
	c.alive, c.everyone = append(c.alive, r), append(c.everyone, r)
	if r.number == 1 {
		r.process.dies = c.doomFirst
	}
	c.mu.Unlock()

	cfg := service.DefaultConfig()
	cfg.Cosmos.Endpoint, cfg.Cosmos.Key, cfg.Cosmos.Database = c.cosmosURL(r.number), envconf.Secret(cosmosemu.WellKnownKey), database
	cfg.Cosmos.Locks, cfg.Cosmos.PartitionKeys = "Locks", "PartitionKeys"
	cfg.Cosmos.Billing, cfg.Location = "Billing", "westeurope"
	cfg.CS.URL = c.csURL()
	cfg.Instance, cfg.Listen, cfg.AdminListen = fmt.Sprintf("replica-%d", r.number), "", ""
	if c.plan.twins {
		cfg.Instance = "twin"
	}
	if c.plan.feed > 0 {
		cfg.Processor.FeedInterval = c.plan.feed
	}
	log := zap.NewNop()
	if c.log {
		log = zaptest.NewLogger(c.t, zaptest.Level(zap.InfoLevel)).Named(r.String())
	}
	offset := time.Duration((chance(c.plan.seed, "clock", r.number, 0) - 0.5) * float64(20*time.Minute))
	s, err := service.New(cfg, service.Deps{
		Cosmos:   &toAccount{who: r, next: inproc.New(c.account.handler(r)), stray: &c.stray},
		CS:       &toOther{who: r, next: inproc.New(faulty(c.cs)), where: ofCS},
		ARM:      &toOther{who: r, next: inproc.New(c.arm)},
		Registry: prometheus.NewRegistry(),
		Log:      log,
		Now:      func() time.Time { return time.Now().Add(offset) },
	})
	if err != nil {
		c.t.Error(err)
		close(r.ended)
		r.stop = func() {}
		return
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.t.Context()))
	r.stop = cancel
	c.account.mu.Lock()
	c.account.started = time.Now()
	c.account.mu.Unlock()
	c.story.tell("%s starts, its clock %v off", r, offset.Round(time.Second))
	c.leaving.Go(func() {
		defer close(r.ended)
		if err := s.Run(ctx); err != nil && !r.process.isDead() {
			c.story.tell("%s: %v", r, err)
		}
	})
}

// faulty lets Cluster Service answer under the effect that its client was dealt.
func faulty(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault.Serve(w, r, effectOf(r.Context()).Effect, fault.Answers{
			Apply: next.ServeHTTP,
			Refuse: func(w http.ResponseWriter, e fault.Effect) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(e.Status)
				_, _ = fmt.Fprintf(w, `{"kind":"Error","id":"%d","code":"CLUSTERS-MGMT-%d","reason":"a fault"}`, e.Status, e.Status)
			},
			Ended: func(fault.End) {},
		})
	})
}

// pick takes one of those that run; nil if there is none.
func (c *cluster) pick(who int) *replica {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.alive) == 0 {
		return nil
	}
	return c.alive[who%len(c.alive)]
}

// leave takes a replica out of those that run; false if it was not among them.
func (c *cluster) leave(r *replica) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.alive, r)
	if i < 0 {
		return false
	}
	c.alive = slices.Delete(c.alive, i, i+1)
	return true
}

func (c *cluster) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.alive)
}

// crash kills a replica in its next request.
func (c *cluster) crash(r *replica, applied bool) {
	if r == nil || !c.leave(r) {
		return
	}
	c.story.tell("%s crashes with its next request, applied: %v", r, applied)
	r.process.doom(applied)
	time.Sleep(time.Second)
	r.process.kill()
	r.stop()
}

// quit stops a replica as an operator does.
func (c *cluster) quit(r *replica) {
	if r == nil || !c.leave(r) {
		return
	}
	c.story.tell("%s is stopped", r)
	r.process.thaw()
	began := time.Now()
	r.stop()
	<-r.ended
	c.mu.Lock()
	c.stops = append(c.stops, time.Since(began))
	c.mu.Unlock()
	c.story.tell("%s has stopped", r)
}

// run plays a plan and says what it came to.
func (c *cluster) run() tally {
	began := time.Now()
	for range c.plan.replicas {
		c.start()
	}
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	var group sync.WaitGroup
	group.Go(func() {
		select {
		case <-c.story.broken: // all that follows may be wrong, too
			cancel()
		case <-ctx.Done():
		}
	})
	group.Go(func() {
		for ctx.Err() == nil {
			time.Sleep(time.Second)
			c.account.probe()
		}
	})
	var troubles sync.WaitGroup
	for _, d := range c.plan.deeds {
		troubles.Go(func() {
			select {
			case <-time.After(d.at):
				c.do(ctx, d)
			case <-ctx.Done():
			}
		})
	}
	report := c.load(ctx)
	troubles.Wait()
	c.report = report
	c.finish(report)
	cancel()
	group.Wait()
	c.account.mu.Lock()
	c.count.owners = len(c.account.checks.owners)
	c.account.mu.Unlock()
	for r := c.pick(0); r != nil; r = c.pick(0) {
		c.quit(r)
	}
	c.leaving.Wait()
	c.stray.Wait()
	c.count.hours = time.Since(began).Hours()
	c.count.operations = report.Operations.Created
	c.count.faults = c.account.weather.total()
	return c.count
}

// load is the front end, from the first operation until all have ended.
func (c *cluster) load(ctx context.Context) workload.Report {
	cfg := workload.DefaultConfig()
	cfg.CosmosURL, cfg.CosmosKey, cfg.ClusterServiceURL = c.cosmosURL(0), cosmosemu.WellKnownKey, c.csURL()
	cfg.Database, cfg.Billing = database, "Billing"
	cfg.Subscriptions, cfg.Rate, cfg.Seed = c.plan.subscriptions, c.plan.rate, c.plan.seed
	cfg.For, cfg.Drain = c.plan.arrivals, 8*time.Minute
	cfg.Follow = time.Second
	f, err := workload.New(cfg, workload.Deps{
		CosmosTransport:         inproc.New(c.account.handler(nil)),
		ClusterServiceTransport: inproc.New(c.cs),
		ServiceTransport:        inproc.New(http.NotFoundHandler()),
		ARM:                     c.arm,
		Say:                     func(format string, args ...any) { c.story.tell("front end: "+format, args...) },
	})
	if err != nil {
		c.t.Error(err)
		return workload.Report{}
	}
	report, err := f.Run(ctx)
	if err != nil && ctx.Err() == nil {
		c.t.Error(err)
	}
	return report
}

// finish holds the end to what must be true then.
func (c *cluster) finish(r workload.Report) {
	select {
	case <-c.story.broken:
		return
	default:
	}
	for _, m := range r.Mismatches {
		c.story.tell("%s", m)
	}
	if o := r.Operations; o.Pending > 0 {
		c.story.violated(1, "%d of %d operations are still pending", o.Pending, o.Created)
	} else if r.Lost() {
		c.story.violated(1, "%d operations or resources are wrong: %.1000s", o.Mismatched, r.Mismatches)
	}
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	for _, id := range c.poisoned {
		if !c.account.checks.documents.quarantined[id] {
			c.story.violated(8, "document %s is malformed, and has no quarantine record", id)
		}
	}
}

func (c *cluster) do(ctx context.Context, d deed) {
	wait := func() {
		select {
		case <-time.After(d.last):
		case <-ctx.Done():
		}
	}
	r := c.pick(d.who)
	over := c.account.disturb()
	defer over()
	c.mu.Lock()
	counter := map[string]*int{doCrash: &c.count.crashes, doBlackout: &c.count.crashes, doPause: &c.count.pauses,
		doRestart: &c.count.restarts, doReboot: &c.count.restarts, doSplit: &c.count.splits, doMerge: &c.count.merges}[d.what]
	if counter != nil {
		*counter++
	}
	c.mu.Unlock()
	switch d.what {
	case doCrash:
		c.crash(r, d.flag)
		wait()
		c.start()
	case doPause:
		if r != nil && r.process.freeze(d.flag) {
			c.story.tell("%s is frozen for %v", r, d.last)
			wait()
			c.account.hit(r)
			r.process.thaw()
			c.story.tell("%s goes on", r)
		}
	case doRestart:
		c.quit(r)
		c.start()
	case doGrow:
		n := min(2, mostAlive-c.size())
		for range n {
			c.start()
		}
		wait()
		for range n {
			c.quit(c.pick(d.who))
		}
	case doBlackout, doReboot:
		c.everything(d, wait)
	case doSpell:
		who := 0
		if r != nil && d.flag {
			who = r.number
		}
		spell := c.account.weather.cast(d.kind, who, d.part)
		c.story.tell("%s of %s begins, for %v, replica %d (0: all), part %.2f", d.kind, spell.where, d.last, who, spell.part)
		wait()
		c.account.weather.end(spell)
		c.story.tell("%s of %s is over", d.kind, spell.where)
	case doSplit:
		c.story.tell("%s", c.account.split(d.who, d.part))
	case doMerge:
		c.story.tell("%s", c.account.merge(d.who))
	case doPoison:
		c.poison(d)
	}
}

// everything stops all replicas at once, and starts as many.
func (c *cluster) everything(d deed, wait func()) {
	c.mu.Lock()
	all := slices.Clone(c.alive)
	c.mu.Unlock()
	var group sync.WaitGroup
	for _, r := range all {
		group.Go(func() {
			if d.what == doBlackout {
				c.crash(r, d.flag)
			} else {
				c.quit(r)
			}
		})
	}
	group.Wait()
	wait()
	for range max(1, len(all)) {
		c.start()
	}
}

// poison puts a document into the container that its own front end would not have
// written. It is to be put aside, and to delay nobody.
func (c *cluster) poison(d deed) {
	rng := rand.New(rand.NewPCG(c.plan.seed, uint64(d.at)))
	subscriptions := workload.NewPlan(c.plan.seed, c.plan.subscriptions).Subscriptions()
	partition := subscriptions[rng.IntN(len(subscriptions))]
	id := fmt.Sprintf("poison-%d", d.at.Milliseconds())
	const kind = `"resourceType":"Microsoft.RedHatOpenShift/hcpOperationStatuses"`
	bodies := []string{
		`{"id":%q,"partitionKey":%q,` + kind + `,"properties":"none"}`,
		`{"id":%q,"partitionKey":%q,` + kind + `,"properties":{"status":{"a":1},"request":"Create","externalId":7}}`,
		`{"id":%q,"partitionKey":%q,` + kind + `,"properties":[1,2]}`,
	}
	if err := c.account.put(partition, fmt.Appendf(nil, bodies[rng.IntN(len(bodies))], id, partition)); err != nil {
		c.t.Error(err)
		return
	}
	c.mu.Lock()
	c.poisoned = append(c.poisoned, id)
	c.mu.Unlock()
	c.story.tell("malformed document %s is written", id)
}
