package figures_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sourcegraph/conc"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/epk"
	"opfeed/internal/inproc"
	"opfeed/leases"
	"opfeed/processor"
	"opfeed/processor/dispatch"
	"opfeed/processor/feed"
)

// settings are what a cluster runs with.
type settings struct {
	name      string
	processor processor.Config
	leases    leases.Config
}

func defaults() settings {
	return settings{"opfeed", processor.DefaultConfig(), leases.DefaultConfig()}
}

// asDotnet is our processor with the intervals of .NET's, as far as it has them:
// it still trusts no clock of a peer, and hands over as it does.
func asDotnet() settings {
	s := defaults()
	s.name = "opfeed with .NET's intervals"
	s.processor.FeedInterval = 5 * time.Second
	s.leases.AcquireInterval, s.leases.RenewInterval, s.leases.Expiry = 13*time.Second, 17*time.Second, time.Minute
	s.leases.CheckpointInterval = time.Second // .NET stores every page
	return s
}

// cluster is an account, replicas that share the ranges of one container, and
// somebody who creates documents in all of them.
type cluster struct {
	t        *testing.T
	set      settings
	host     string
	account  *cosmosemu.Server
	rng      *rand.Rand
	ranges   [][]string // the partitions of each range
	rangeOf  map[string]int
	history  *history
	replicas []*replica
	writers  conc.WaitGroup
	enough   chan struct{}
	began    time.Time
}

// clusters makes the address of each account another.
var clusters atomic.Int64

func newCluster(t *testing.T, set settings, ranges int, seed uint64) *cluster {
	t.Helper()
	on := int32(-1)
	c := &cluster{
		t: t, set: set, host: fmt.Sprintf("figures-%d", clusters.Add(1)),
		account: cosmosemu.New(cosmosemu.Options{}), rng: rand.New(rand.NewPCG(seed, uint64(ranges))),
		rangeOf: map[string]int{}, history: newHistory(), enough: make(chan struct{}),
	}
	if err := c.account.Create("db",
		cosmosemu.Container{ID: "docs", PartitionKey: "/partitionKey", Ranges: ranges},
		cosmosemu.Container{ID: "leases", PartitionKey: "/id", DefaultTTL: &on},
	); err != nil {
		t.Fatal(err)
	}
	c.findPartitions(ranges)
	return c
}

// findPartitions finds ten partitions in each range.
func (c *cluster) findPartitions(ranges int) {
	c.t.Helper()
	list, err := feed.NewReader(dial(c.t, c.account, c.host, "docs"), 1, time.Minute).Ranges(c.t.Context())
	if err != nil || len(list) != ranges {
		c.t.Fatalf("ranges %v, %v", list, err)
	}
	c.ranges = make([][]string, ranges)
	for n := 0; len(c.rangeOf) < 10*ranges; n++ {
		partition := fmt.Sprint("subscription-", n)
		for i, r := range list {
			if len(c.ranges[i]) < 10 && epk.Contains(r.MinInclusive, r.MaxExclusive, epk.Of(partition)) {
				c.ranges[i] = append(c.ranges[i], partition)
				c.rangeOf[partition] = i
			}
		}
	}
}

// replica is one process.
type replica struct {
	*processor.Processor
	number int
	line   *line
	cancel context.CancelFunc
	ended  chan struct{}
}

// start runs one more replica.
func (c *cluster) start() *replica {
	c.t.Helper()
	r := &replica{number: len(c.replicas), ended: make(chan struct{})}
	r.line = newLine(inproc.New(c.account), c.rng.Uint64())
	url := fmt.Sprintf("http://%s.cosmos.test:%d", c.host, 8001+r.number)
	docs := dialBy(c.t, r.line, url, "docs")
	var err error
	r.Processor, err = processor.New(c.set.processor, c.set.leases, c.handler(r, docs), processor.Deps{
		Monitored: docs, Leases: dialBy(c.t, r.line, url, "leases"), LeasePrefix: "figures",
		Instance: fmt.Sprint("replica-", r.number), Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.t.Context()))
	r.cancel = cancel
	c.replicas = append(c.replicas, r)
	go func() {
		defer close(r.ended)
		if err := r.Run(ctx); err != nil {
			c.t.Errorf("replica %d: %v", r.number, err)
		}
	}()
	return r
}

// kill ends a replica as SIGKILL does, and returns when it is dead.
func (c *cluster) kill(r *replica, when moment) {
	r.line.die(when)
	<-r.line.dead
	c.history.bury(r.number)
	r.cancel() // nothing that it does can be seen any more
}

// holds counts the ranges that a replica holds.
func (r *replica) holds() (n int) {
	for _, one := range r.Snapshot().Ranges {
		if one.Mine {
			n++
		}
	}
	return n
}

func (c *cluster) held() (n int) {
	for _, r := range c.replicas {
		n += r.holds()
	}
	return n
}

// handler notes who handled what, and when.
func (c *cluster) handler(r *replica, docs *azcosmos.ContainerClient) processor.Handler {
	const step = 20 * time.Millisecond // to think about a change
	return processor.Handler{
		Route: func(document []byte) processor.Route {
			var d doc
			if err := json.Unmarshal(document, &d); err != nil {
				return processor.Route{Action: processor.Poison, Reason: "does not decode"}
			}
			return processor.Route{Action: processor.Take, Key: dispatch.Key{Partition: d.Partition, ID: d.ID}}
		},
		Handle: func(_ context.Context, change dispatch.Change) (dispatch.Apply, error) {
			var d doc
			if err := json.Unmarshal(change.Document, &d); err != nil {
				return nil, err
			}
			time.Sleep(step)
			return func(ctx context.Context) (dispatch.Outcome, error) {
				if ctx.Err() == nil && !r.line.isDead() {
					c.history.handled(r.number, c.rangeOf[d.Partition], d)
				}
				return dispatch.Outcome{}, nil
			}, nil
		},
		// A takeover asks what is pending before it delivers anything, as the
		// service does: it is a query, and its time counts.
		Pending: func(ctx context.Context, req processor.PendingRequest, _ func(dispatch.Change)) error {
			pager := docs.NewQueryItemsPager("SELECT c.id FROM c WHERE c.pending", azcosmos.NewPartitionKey(),
				&azcosmos.QueryOptions{SessionToken: &req.Session})
			for pager.More() {
				if _, err := pager.NextPage(ctx); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

type doc struct {
	ID        string `json:"id"`
	Partition string `json:"partitionKey"`
}

// load creates documents in every range, about 14 times a second in each, until
// finish. It begins once all ranges are held: a processor begins with what is
// written from then on.
func (c *cluster) load() {
	c.t.Helper()
	if !until(4*c.set.leases.AcquireInterval, func() bool { return c.held() == len(c.ranges) }) {
		c.t.Fatal("some range is held by nobody")
	}
	c.began = time.Now()
	for i := range c.ranges {
		docs, rng := dialBy(c.t, inproc.New(c.account), fmt.Sprintf("http://%s.cosmos.test:%d", c.host, 9000+i), "docs"),
			rand.New(rand.NewPCG(c.rng.Uint64(), 2))
		c.writers.Go(func() {
			for n := 1; ; n++ {
				select {
				case <-c.enough:
					return
				case <-time.After(20*time.Millisecond + time.Duration(rng.Int64N(int64(100*time.Millisecond)))):
				}
				d := doc{ID: fmt.Sprint("d", n), Partition: c.ranges[i][rng.IntN(len(c.ranges[i]))]}
				c.history.written(d)
				body, _ := json.Marshal(d)
				if _, err := docs.UpsertItem(context.WithoutCancel(c.t.Context()), azcosmos.NewPartitionKeyString(d.Partition), body, nil); err != nil {
					c.t.Errorf("write: %v", err)
					return
				}
			}
		})
	}
}

// until waits, at most for limit, and says whether it came true.
func until(limit time.Duration, is func() bool) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if is() {
			return true
		}
	}
	return false
}

// evenly says whether the living share the ranges evenly.
func (c *cluster) evenly(living ...*replica) bool {
	least, sum := len(c.ranges)/len(living), 0
	for _, r := range living {
		n := r.holds()
		if n < least || n > least+1 {
			return false
		}
		sum += n
	}
	return sum == len(c.ranges)
}

// settle waits until the living share the ranges evenly, or else until all ranges
// are handled.
func (c *cluster) settle(living ...*replica) {
	c.t.Helper()
	until(8*c.set.leases.AcquireInterval, func() bool { return c.evenly(living...) })
	if !until(4*c.set.leases.Expiry, func() bool { return c.history.ranges() == len(c.ranges) }) {
		c.t.Fatal("some range is handled by nobody")
	}
	time.Sleep(c.set.processor.FeedInterval)
}

// finish stops the load and all replicas, after they had the time to handle the
// last change, and holds the history to what must be true of any.
func (c *cluster) finish() {
	c.t.Helper()
	close(c.enough)
	c.writers.Wait()
	written := time.Since(c.began)
	if !until(4*c.set.leases.Expiry, c.history.complete) {
		c.t.Errorf("%d changes were lost, such as %.100v", len(c.history.missing()), c.history.missing())
	}
	for _, r := range c.replicas {
		r.cancel()
	}
	for _, r := range c.replicas {
		<-r.ended
	}
	if rate := c.history.rate(written) / float64(len(c.ranges)); rate < 10 {
		c.t.Errorf("%.1f changes/s a range: too few to prove anything", rate)
	}
}
