package system_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"opfeed/cs"
	"opfeed/cs/cssim"
	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
	"opfeed/internal/service"
	"opfeed/internal/workload"
	"opfeed/processor"
)

// How many mutated documents TestMutants makes, and from which seed on; `make mutants`
// makes 100,000.
var (
	mutantCount = flag.Int("mutants.count", fewMutants, "how many mutated documents TestMutants makes")
	mutantSeed  = flag.Uint64("mutants.seed", 1, "first seed of TestMutants")
)

// mutantsAWorld bounds what is in memory at once.
const mutantsAWorld = 5000

// TestMutants puts copies of real documents, most of them mutated, before the
// whole service: operations together with the resources that name them. When
// nothing moves any more each operation has ended as the object ended that its
// internalId names, or is untouched for a reason that can be counted, and no
// document has lost a property. Operations of a front end that works in the same
// subscriptions meanwhile are handled as ever. A world that fails is made again
// by -mutants.seed=SEED -mutants.count=N.
func TestMutants(t *testing.T) { //nolint:tparallel // one world after another: each takes memory
	t.Parallel()
	sum, began, made := census{}, time.Now(), 0
	for seed := *mutantSeed; made < *mutantCount; seed++ {
		n := min(mutantsAWorld, *mutantCount-made)
		if !t.Run(fmt.Sprintf("seed=%d,count=%d", seed, n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { mutants(t, seed, n, sum) })
		}) {
			break
		}
		made += n
		t.Logf("%d of %d mutated documents after %v", made, *mutantCount, time.Since(began).Round(time.Second))
	}
	t.Logf("what became of them:\n%s", sum)
}

// census counts documents by what became of them.
type census map[string]int

func (c census) String() string {
	var b strings.Builder
	for _, name := range sortedNames(c) {
		fmt.Fprintf(&b, "%8d  %s\n", c[name], name)
	}
	return b.String()
}

const (
	atRest  = 7 * time.Minute // by then all deadlines are over
	silence = 130 * time.Second
)

func mutants(t *testing.T, seed uint64, n int, sum census) {
	w := newWorld(t)
	ears := &ears{heard: map[string]int{}}
	w.log = zap.New(ears)
	w.tune = func(c *service.Config) {
		o := &c.Operations
		o.DeadlineCreate, o.DeadlineUpdate, o.DeadlineDelete = deadlines["Create"], deadlines["Update"], deadlines["Delete"]
		o.DeadlineCredential, o.DeadlineConfirm = deadlines["RequestCredential"], time.Minute
	}
	plan := workload.NewPlan(seed, 40)
	z := &zoo{
		world: w, herd: newHerd(t, seed, plan.Subscriptions()), rng: rand.New(rand.NewPCG(seed, 0x200)),
		resources: w.container("Resources"), planted: map[string]bool{}, checks: map[string]int{}, byRID: map[string]*creature{}, sum: sum,
	}
	for _, s := range z.herd.originals() {
		z.store(s)
	}
	z.fill(n / 2) // the rest comes by the feed
	r := w.start(inproc.New(w.cosmos))
	time.Sleep(settle)

	controlled := make(chan struct{})
	go func() {
		defer close(controlled)
		w.control(seed)
	}()
	const parts = 40
	for i := range parts {
		z.fill(n/2 + (n-n/2)*(i+1)/parts)
		time.Sleep(time.Second)
	}
	<-controlled
	time.Sleep(atRest)
	z.reread()
	time.Sleep(silence)
	z.wantSilence()
	z.judge(r.Snapshot(), seed)
	ears.want(t)
}

// control is a front end that works while the documents come: what it wants done
// is done, and no later than ever.
func (w *world) control(seed uint64) {
	report, err := w.frontEnd(func(c *workload.Config) {
		c.Subscriptions, c.Rate, c.For, c.Drain, c.Seed = 40, 2, 45*time.Second, 5*time.Minute, seed
	}).Run(w.t.Context())
	if err != nil {
		w.t.Error(err)
		return
	}
	w.want(report, 80)
	const soon, normal = 3, 60 // seconds
	if report.PickupSeconds.Max > soon || report.WriteBackSeconds.Max > normal {
		w.t.Errorf("the front end's own operations were delayed: picked up %+v, written back %+v",
			report.PickupSeconds, report.WriteBackSeconds)
	}
}

// zoo is a world with a herd in it.
type zoo struct {
	*world

	herd      *herd
	rng       *rand.Rand
	resources *azcosmos.ContainerClient
	planted   map[string]bool
	checks    map[string]int // failed ones, by cluster
	kept      []*creature
	mutated   int
	byRID     map[string]*creature
	sum       census
}

// fill stores cases until so many mutated documents are there.
func (z *zoo) fill(n int) {
	z.t.Helper()
	for z.mutated < n {
		for _, s := range z.herd.next(z.t) {
			z.store(s)
		}
	}
}

// store plants the object that an operation names and stores the document.
func (z *zoo) store(s specimen) {
	z.t.Helper()
	d := decodedJSON(z.t, s.document)
	if r := read(d); r.fate == active {
		z.plant(r)
	}
	resp, err := z.resources.CreateItem(z.t.Context(), partitionKeyOf(d), s.document,
		&azcosmos.ItemOptions{EnableContentResponseOnWrite: true})
	if err != nil {
		e, ok := errors.AsType[*azcore.ResponseError](err)
		// Some of the real documents are two versions of one.
		if !ok || !slices.Contains([]int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusConflict}, e.StatusCode) {
			z.t.Errorf("store %s (%s): %v", s.from, s.how, err)
		}
		z.sum["refused by Cosmos DB"]++
		return
	}
	c := &creature{specimen: s, stored: time.Now(), before: decodedJSON(z.t, resp.Value), etag: string(resp.ETag)}
	if c.reading = read(c.before); c.fate == quarantined && c.unseen && z.starts == 0 {
		c.fate = unlooked
	}
	if s.how != "" {
		z.mutated++
		z.sum["(mutated)"]++
	}
	z.kept = append(z.kept, c)
	z.byRID[ridOf(resp.Value)] = c
}

func ridOf(raw []byte) string {
	var d struct {
		RID string `json:"_rid"` //nolint:tagliatelle // Cosmos DB's
	}
	_ = json.Unmarshal(raw, &d) // "" then
	return d.RID
}

func partitionKeyOf(d map[string]any) azcosmos.PartitionKey {
	switch v := d["partitionKey"].(type) {
	case string:
		return azcosmos.NewPartitionKeyString(v)
	case bool:
		return azcosmos.NewPartitionKeyBool(v)
	case json.Number:
		if f, err := v.Float64(); err == nil {
			return azcosmos.NewPartitionKeyNumber(f)
		}
	}
	return azcosmos.NullPartitionKey // what it does not fit is refused
}

// plant gives an operation's object a life, in most cases one that ends it.
func (z *zoo) plant(r reading) {
	path := r.ref.Path()
	if path == "" || z.planted[path] || strings.Contains(path, "never-there") || z.rng.IntN(15) == 0 {
		return
	}
	z.planted[path] = true
	states := map[string][]string{
		"Create":            {"validating", "pending", "installing", "installing", "ready", "error", "recoverable_error", "hibernating", "uninstalling"},
		"Update":            {"updating", "updating", "updating", "ready", "error", "recoverable_error", "unknown", "uninstalling"},
		"Delete":            {"uninstalling", "uninstalling", "uninstalling", "uninstalling", "ready", "error", "resuming"},
		"RevokeCredentials": {"ready"},
	}[r.request]
	switch r.ref.Kind {
	case cs.ExternalAuth:
		states = []string{"", "ready", "error", "uninstalling", "uninstalling", "odd"}
	case cs.BreakGlassCredential:
		states = []string{"created", "created", "issued", "failed", "revoked", "expired", "awaiting_revocation"}
	case cs.NodePool, cs.Cluster:
	}
	p := cssim.Planted{InternalID: path, State: pick(z.rng, states)}
	if p.State == "uninstalling" && z.mutated == 0 {
		p.State = "ready" // the originals share clusters: none may take another's object with it
	}
	if p.State == "error" {
		switch z.rng.IntN(3) {
		case 0:
			p.ErrorCode, p.ErrorMessage = "OCM3055", pick(z.rng, []string{"no quota", "say \"why\"\n\u2713 <b>", strings.Repeat("long ", 100)})
		case 1:
			if r.ref.Kind == cs.Cluster {
				p.FailedChecks = 1 + z.rng.IntN(3)
				z.checks[path] = p.FailedChecks
			}
		}
	}
	z.plantObject(p)
	if r.request == "RevokeCredentials" {
		for i := range z.rng.IntN(4) {
			states := []string{"created", "awaiting_revocation", "awaiting_revocation", "revoked", "revoked", "expired", "failed"}
			credential := cs.Ref{Kind: cs.BreakGlassCredential, Cluster: r.ref.Cluster, Child: fmt.Sprintf("c%d", i)}
			z.plantObject(cssim.Planted{InternalID: credential.Path(), State: pick(z.rng, states)})
		}
	}
}

func (z *zoo) plantObject(p cssim.Planted) {
	z.t.Helper()
	if err := z.cs.PlantObject(p); err != nil {
		z.t.Errorf("plant %+v: %v", p, err)
	}
}

// reread notes what each document is now.
func (z *zoo) reread() {
	z.t.Helper()
	for _, c := range z.kept {
		c.after, c.newTag = nil, ""
	}
	z.scan(func(c *creature, d map[string]any, etag string) { c.after, c.newTag = d, etag })
}

// wantSilence: since reread nothing was written.
func (z *zoo) wantSilence() {
	z.t.Helper()
	z.scan(func(c *creature, _ map[string]any, etag string) {
		if etag != c.newTag {
			z.t.Errorf("still written after %v: %s", atRest, c)
		}
	})
}

func (z *zoo) scan(visit func(*creature, map[string]any, string)) {
	z.t.Helper()
	pager := z.resources.NewQueryItemsPager("SELECT * FROM c", azcosmos.NewPartitionKey(), &azcosmos.QueryOptions{PageSizeHint: -1})
	for pager.More() {
		page, err := pager.NextPage(z.t.Context())
		if err != nil {
			z.t.Fatal(err)
		}
		for _, raw := range page.Items {
			if c := z.byRID[ridOf(raw)]; c != nil {
				d := decodedJSON(z.t, raw)
				etag, _ := d["_etag"].(string)
				visit(c, d, etag)
			}
		}
	}
}

// records are the stored quarantine records: a snapshot shows the newest alone.
func (z *zoo) records() []processor.Record {
	z.t.Helper()
	var list []processor.Record
	pager := z.container("Leases").NewQueryItemsPager(`SELECT * FROM c WHERE c.kind = "quarantine"`, azcosmos.NewPartitionKey(), nil)
	for pager.More() {
		page, err := pager.NextPage(z.t.Context())
		if err != nil {
			z.t.Fatal(err)
		}
		for _, item := range page.Items {
			var r processor.Record
			if err := json.Unmarshal(item, &r); err != nil {
				z.t.Fatal(err)
			}
			list = append(list, r)
		}
	}
	return list
}

func (z *zoo) judge(s service.Snapshot, seed uint64) {
	z.t.Helper()
	j := &judge{checks: z.checks, herd: z.kept, named: map[string][]*creature{}, objects: map[string]cssim.Object{}, shunned: map[[2]string]string{}}
	for _, o := range z.cs.Journal().Objects {
		j.objects[o.InternalID] = o
	}
	for _, q := range z.records() {
		j.shunned[[2]string{q.Partition, q.DocumentID}] = q.Reason
		if strings.Contains(q.Reason, "panicked") {
			z.t.Errorf("quarantined: %q %q: %s", q.Partition, q.DocumentID, q.Reason)
		}
	}
	if len(j.shunned) != s.QuarantinedTotal {
		z.t.Errorf("%d documents have a quarantine record, and %d are told", len(j.shunned), s.QuarantinedTotal)
	}
	for _, c := range z.kept {
		if c.name != "" {
			j.named[c.partition] = append(j.named[c.partition], c)
		}
	}
	shown, expiring := 0, 0
	for _, c := range z.kept {
		became, wrong := j.judge(c)
		z.sum[became]++
		if became == expired {
			expiring++
		}
		if len(wrong) == 0 {
			continue
		}
		if shown++; shown <= 10 {
			z.t.Errorf("seed %d: %s, %s\n%s\nit was %.5000s", seed, c, became, strings.Join(wrong, "\n"), encoded(c.before))
			for _, op := range j.linked(c, c.links()) {
				z.t.Errorf("it names %s, now %+v, %v\nit was %.3000s", op, op.ended(), op.changes(), encoded(op.before))
			}
		}
	}
	if shown > 10 {
		z.t.Errorf("seed %d: %d documents are wrong in all", seed, shown)
	}
	// What is set aside is seen, all of it, and nothing else is left.
	if d := s.LeftAlone - j.alone; d < 0 || d > expiring {
		z.t.Errorf("the snapshot shows %d operations that are left alone, want %d", s.LeftAlone, j.alone)
	}
	if s.Pending > expiring || s.Waiting > 0 || s.Running > 0 {
		z.t.Errorf("at rest %d are pending, %d wait, %d run: %v", s.Pending, s.Waiting, s.Running, s.PendingByState)
	}
}

func encoded(d map[string]any) []byte {
	raw, _ := json.Marshal(d) // it was decoded before
	return raw
}

func (c *creature) String() string {
	how := c.how
	if how == "" {
		how = "as it was"
	}
	return fmt.Sprintf("%.80q of %.80q, a copy of %s, %s", c.id, c.partition, c.from, how)
}

// container is one of the account's, for a client that is no replica.
func (w *world) container(name string) *azcosmos.ContainerClient {
	w.t.Helper()
	key, err := azcosmos.NewKeyCredential(cosmosemu.WellKnownKey)
	if err != nil {
		w.t.Fatal(err)
	}
	client, err := azcosmos.NewClientWithKey(w.cosmosURL(99), key, &azcosmos.ClientOptions{
		ClientOptions: policy.ClientOptions{Transport: inproc.New(w.cosmos)},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := client.NewContainer(database, name)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// ears listen to the log of a service: what it warns of, and whether anything
// panicked.
type ears struct {
	mu       sync.Mutex
	heard    map[string]int
	panicked []string
}

var _ zapcore.Core = (*ears)(nil)

func (*ears) Enabled(l zapcore.Level) bool        { return l >= zapcore.WarnLevel }
func (e *ears) With([]zapcore.Field) zapcore.Core { return e }
func (*ears) Sync() error                         { return nil }

// Check implements zapcore.Core.
func (e *ears) Check(entry zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if e.Enabled(entry.Level) {
		return to.AddCore(entry, e)
	}
	return to
}

// Write implements zapcore.Core.
func (e *ears) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard[entry.Level.String()+" "+entry.Message]++
	if slices.ContainsFunc(fields, func(f zapcore.Field) bool { return strings.Contains(f.String, "panicked") }) || strings.Contains(entry.Message, "panic") {
		m := zapcore.NewMapObjectEncoder()
		for _, f := range fields {
			f.AddTo(m)
		}
		e.panicked = append(e.panicked, fmt.Sprintf("%s %.2000v", entry.Message, m.Fields))
	}
	return nil
}

func (e *ears) want(t *testing.T) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.panicked {
		t.Errorf("the service says: %s", p)
	}
	t.Logf("heard: %v", e.heard)
}
