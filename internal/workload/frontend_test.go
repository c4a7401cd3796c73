package workload

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/cs/cssim"
	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
)

// bench is a front end with an emulator and a simulator, in this process.
type bench struct {
	*FrontEnd
	emulator *cosmosemu.Server
	sim      *cssim.Server
	mu       sync.Mutex
	words    []string
}

func newBench(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	b := &bench{emulator: cosmosemu.New(cosmosemu.Options{}), sim: cssim.New(cssim.Options{Speed: 60, Seed: 1})}
	forever, ten := int32(-1), int32(10)
	if err := b.emulator.Create("opfeed",
		cosmosemu.Container{ID: "Resources", PartitionKey: "/partitionKey", DefaultTTL: &forever},
		cosmosemu.Container{ID: "Locks", PartitionKey: "/id", DefaultTTL: &ten},
		cosmosemu.Container{ID: "PartitionKeys", PartitionKey: "/partitionKey"},
	); err != nil {
		t.Fatal(err)
	}
	host := strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-"))
	c := DefaultConfig()
	c.CosmosURL, c.CosmosKey = "http://"+host+".cosmos.test", cosmosemu.WellKnownKey
	c.ClusterServiceURL = "http://" + host + ".cs.test"
	c.Subscriptions, c.For, c.Drain = 3, 10*time.Second, 5*time.Second
	if change != nil {
		change(&c)
	}
	var err error
	b.FrontEnd, err = New(c, Deps{
		CosmosTransport: inproc.New(b.emulator), ClusterServiceTransport: inproc.New(CountCalls(b.sim)),
		Say: func(format string, args ...any) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.words = append(b.words, fmt.Sprintf(format, args...))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Without a service nothing ends but what the front end cancels itself; what
// it has written must be what a service can work with.
func TestFrontEndKeepsItsProtocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		ctx := context.Background()
		r, err := b.Run(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range append(b.words, r.Mismatches...) {
			t.Error(w)
		}
		cancelled := r.Operations.ByStatus["Canceled"]
		if cancelled != 2 || r.Operations.Terminal != cancelled {
			t.Errorf("%d cancelled and %d terminal in two cycles: %v", cancelled, r.Operations.Terminal, r.Operations.ByStatus)
		}
		// 25 requests in 10 s, two implicit deletes in each of the cycles.
		if r.Operations.Created < 25+4 || r.Operations.Pending != r.Operations.Created-cancelled {
			t.Errorf("operations: %+v", r.Operations)
		}
		b.checkWritten(ctx, t)
		for _, id := range b.plan.Subscriptions() {
			_, err := b.store.locks.ReadItem(ctx, azcosmos.NewPartitionKeyString(id), id, nil)
			if status(err) != 404 {
				t.Errorf("the lock of %s is still there: %v", id, err)
			}
			if _, err := b.store.partitionKeys.ReadItem(ctx, azcosmos.NewPartitionKeyString(partitionKeysPartition), id, nil); err != nil {
				t.Errorf("PartitionKeys: %v", err)
			}
		}
	})
}

// checkWritten looks at every operation as it is stored.
func (b *bench) checkWritten(ctx context.Context, t *testing.T) {
	t.Helper()
	es := b.ledger.snapshot()
	last := lastOnResource(es)
	late, credentials, revocations := 0, 0, 0
	for i, e := range es {
		op, ok, err := b.store.read(ctx, e.Partition, e.DocumentID)
		if err != nil || !ok {
			t.Fatalf("%s: %v %v", e.Step, ok, err)
		}
		if got := canonical(text(op.Document, "properties", "internalId")); got != e.Object {
			t.Errorf("%s: internal id %q, want %q", e.Step, got, e.Object)
		}
		if e.Written.After(mustTime(t, text(op.Document, "properties", "startTime")).Add(lateAfter / 2)) {
			late++
		}
		if e.Request == RequestCredential {
			credentials++
			if e.ResourceDocument != "" || text(op.Document, "properties", "externalId") != (Target{
				Subscription: e.Target.Subscription, Group: e.Target.Group, Cluster: e.Target.Cluster}).ResourceID() {
				t.Errorf("%s: of resource %q, %v", e.Step, e.ResourceDocument, op.Document)
			}
			continue
		}
		res, ok, err := b.store.read(ctx, e.Partition, e.ResourceDocument)
		if err != nil || !ok {
			t.Fatalf("%s: no resource: %v", e.Step, err)
		}
		at := e.Target.places()
		if e.Request == RevokeCredentials {
			revocations++
			if e.Target.Generation == Metadata != (text(res.Document, "properties", "serviceProviderProperties", "revokeCredentialsOperationId") == e.ID) ||
				text(res.Document, at.State...) != "Succeeded" || text(res.Document, at.Active...) != "" {
				t.Errorf("%s: the cluster is %v", e.Step, res.Document)
			}
			continue
		}
		if last[i] && (text(res.Document, at.Active...) != e.ID || text(res.Document, at.State...) != e.Status) {
			t.Errorf("%s: the resource says %q %q", e.Step, text(res.Document, at.Active...), text(res.Document, at.State...))
		}
	}
	if credentials < 3 || revocations < 1 {
		t.Errorf("%d credentials were asked for, %d revocations", credentials, revocations)
	}
	if late == 0 {
		t.Error("no operation got its internal id later")
	}
}

func mustTime(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// However much is wrong with one operation, it is one operation.
func TestMismatchesAreCountedByOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		ctx := context.Background()
		r, err := b.Run(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if r.Operations.Mismatched != 0 {
			t.Fatalf("before anything was done: %q", r.Mismatches)
		}
		for _, e := range b.ledger.snapshot() {
			if e.Terminal.IsZero() {
				continue
			}
			it, _, err := b.store.read(ctx, e.Partition, e.DocumentID)
			if err != nil {
				t.Fatal(err)
			}
			put(it.Document, []string{"properties", "lastTransitionTime"}, "soon")
			put(it.Document, []string{"properties", "request"}, "Other")
			delete(it.Document, "ttl")
			if err := upsert(ctx, b.store.resources, e.Partition, it.Document); err != nil {
				t.Fatal(err)
			}
			break
		}
		if r, err = b.report(ctx); err != nil {
			t.Fatal(err)
		}
		if r.Operations.Mismatched != 1 || len(r.Mismatches) < 3 || !r.Lost() {
			t.Errorf("%d mismatched, want 1, of which is said %q", r.Operations.Mismatched, r.Mismatches)
		}
	})
}

// An interrupted front end ends at once, and still reports.
func TestInterruptedFrontEndReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(c *Config) { c.For = 0 })
		ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
		defer cancel()
		start := time.Now()
		r, err := b.Run(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		if r.Operations.Created < 8 || len(r.Mismatches) > 0 {
			t.Errorf("%+v, %q", r.Operations, r.Mismatches)
		}
	})
}

// Loaded documents that nobody may touch are watched: operations that had
// ended, companions of other types, resources that no operation names.
func TestTouchedDocumentsAreNamed(t *testing.T) {
	_ = realDocuments(t) // skips
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(c *Config) {
			c.Documents, c.For, c.Drain = "../../../shared/data/cosmos-documents", time.Second, time.Second
		})
		ctx := context.Background()
		r, err := b.Run(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range r.Mismatches {
			t.Errorf("nobody has touched anything, but: %s", m)
		}
		said := strings.Join(b.words, "\n")
		if !strings.Contains(said, "operation-create-succeeded-1c655366.json has the partition and id of operation-create-accepted-1c655366.json") {
			t.Errorf("collisions not named: %s", said)
		}
		// Three of the front end's own in a second; eight of the documents had
		// ended before.
		if r.Operations.Terminal != 8 || r.Operations.Created < 20 {
			t.Errorf("%+v", r.Operations)
		}
		b.tamper(ctx, t)
	})
}

func (b *bench) tamper(ctx context.Context, t *testing.T) {
	t.Helper()
	l := b.loaded.Load()
	byFile := map[string]key{}
	for k, d := range l.documents {
		byFile[d.File] = k
	}
	for file, change := range map[string]func(map[string]any){
		"operation-create-succeeded-4038da11.json": func(d map[string]any) { put(d, []string{"properties", "status"}, "Failed") },
		"serviceproviderclusters-04fca2c9.json":    func(d map[string]any) { delete(d["properties"].(map[string]any), "spec") },
		"hcpopenshiftclusters-5d2bbc74.json":       func(d map[string]any) { put(d, []string{"properties", "provisioningState"}, "Succeeded") },
		"subscriptions-96d196cb.json":              func(d map[string]any) { d["more"] = true },
	} {
		k, ok := byFile[file]
		if !ok {
			t.Fatalf("%s was not loaded", file)
		}
		it, _, err := b.store.read(ctx, k.Partition, k.ID)
		if err != nil {
			t.Fatal(err)
		}
		change(it.Document)
		if err := upsert(ctx, b.store.resources, k.Partition, it.Document); err != nil {
			t.Fatal(err)
		}
		found, err := b.mismatches(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(sentences(found), "\n"), file) {
			t.Errorf("%s was tampered with, and not named: %q", file, found)
		}
	}
}
