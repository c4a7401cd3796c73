package processor_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
	"opfeed/leases"
	"opfeed/processor"
)

// TestRetryDuringTakeover removes records while their ranges are being taken over,
// and the list of the process that takes them is under way: their documents are
// looked at all the same.
func TestRetryDuringTakeover(t *testing.T) {
	t.Parallel()
	for try, done := 0, false; !done; try++ {
		if try == 30 {
			t.Fatal("in 30 tries one of two replicas took all ranges")
		}
		synctest.Test(t, func(t *testing.T) { done = retryDuringTakeover(t) })
	}
}

// retryDuringTakeover reports whether there was anything to see: each of two replicas
// has to have quarantined something.
func retryDuringTakeover(t *testing.T) bool {
	onlyItems := int32(-1)
	w := &world{t: t, emu: cosmosemu.New(cosmosemu.Options{}), host: "http://retrytakeover.cosmos.test", handled: map[string][]string{}}
	if err := w.emu.Create("db",
		cosmosemu.Container{ID: "docs", PartitionKey: "/partitionKey", DefaultTTL: &onlyItems, Ranges: 8},
		cosmosemu.Container{ID: "leases", PartitionKey: "/id", DefaultTTL: &onlyItems}); err != nil {
		t.Fatal(err)
	}
	w.docs = w.container(inproc.New(w.emu), "docs")
	var well atomic.Bool
	w.bear = func(doc) bool { return well.Load() }
	r0 := w.startAs("replica-0", inproc.New(w.emu))
	var hang atomic.Bool
	began := make(chan struct{}, 10)
	r1 := w.startAs("replica-1", &faulty{next: inproc.New(w.emu), before: func(req *http.Request) error {
		if isQueryOf(req, "docs") && hang.Load() {
			select {
			case began <- struct{}{}:
			default:
			}
			time.Sleep(12 * time.Second)
		}
		return nil
	}})
	time.Sleep(2 * time.Minute)
	n := 12
	for i := range n {
		w.put(doc{ID: fmt.Sprint("bad-", i), Partition: fmt.Sprint("s", i), Value: "1", Op: "poison"})
	}
	time.Sleep(5 * time.Second)
	t.Logf("quarantined: %d by r0, %d by r1", len(r0.Snapshot().Quarantined), len(r1.Snapshot().Quarantined))
	if len(r1.Snapshot().Quarantined) == 0 || len(r0.Snapshot().Quarantined) == 0 {
		return false
	}
	hang.Store(true)
	<-began
	r0.stop()
	time.Sleep(3 * time.Second)
	well.Store(true)
	for i := range n {
		w.retry(fmt.Sprint("bad-", i))
	}
	hang.Store(false)
	time.Sleep(20 * time.Minute)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.handled) != n {
		t.Errorf("20 min after an operator retried %d documents, %d were looked at; %d are shown in quarantine", n, len(w.handled), len(r1.Snapshot().Quarantined))
	}
	return true
}

// startAs is start under a name of its own: twins do not share ranges evenly.
func (w *world) startAs(name string, transport policy.Transporter) *replica {
	docs := w.container(transport, "docs")
	p, err := processor.New(processor.DefaultConfig(), leases.DefaultConfig(), w.handler(docs), processor.Deps{
		Monitored: docs, Leases: w.container(transport, "leases"), LeasePrefix: leasePrefix, Instance: name})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	r := &replica{Processor: p, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		_ = p.Run(ctx)
	}()
	r.stop = func() { cancel(); <-r.ended }
	w.t.Cleanup(r.stop)
	return r
}
