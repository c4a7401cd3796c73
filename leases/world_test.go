package leases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
)

const testPrefix = "opfeedacct.test_AAAAAA==_AAAAAAAAAAA="

// world is one account with a lease container, as several processes see it.
type world struct {
	t      *testing.T
	seed   uint64 // decides what the processes draw
	server http.Handler
	host   string
	// store is a client that nothing disturbs.
	store   *Store
	raw     *azcosmos.ContainerClient
	ranges  []Range
	started int // processes
	mu      sync.Mutex
	written []Document // every lease version that was stored through a wire
}

// inWorld runs f in a bubble with a clock of its own.
func inWorld(t *testing.T, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(newWorld(t)) })
}

// seeded draws for one process. Which of its goroutines draws first is not decided.
func seeded(seed uint64, process string) chance {
	h := fnv.New64a()
	_, _ = io.WriteString(h, process)
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, h.Sum64()))
	return func(n time.Duration) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(random.Int64N(int64(n)))
	}
}

// hosts makes the host of every account another: azcosmos caches by host for
// the whole process.
var hosts atomic.Int64

func newWorld(t *testing.T) *world {
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-", " ", "-").Replace(t.Name()))
	server := cosmosemu.New(cosmosemu.Options{})
	if err := server.Create("db", cosmosemu.Container{ID: "leases", PartitionKey: "/id"}); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, server: server, host: fmt.Sprintf("http://%s-%d.cosmos.test", name, hosts.Add(1))}
	w.raw = w.client(inproc.New(w.server))
	w.store = NewStore(w.raw, testPrefix)
	w.ranges = []Range{
		{Token: "0", Range: azcosmos.FeedRange{MinInclusive: "", MaxExclusive: "1FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"}},
		{Token: "1", Range: azcosmos.FeedRange{MinInclusive: "1FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", MaxExclusive: "FF"}},
	}
	return w
}

func (w *world) rangesNow() []Range {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ranges
}

// oneRange leaves nothing to share out.
func (w *world) oneRange() { w.ranges = []Range{{Token: "0", Range: whole}} }

func (w *world) client(transport interface {
	Do(*http.Request) (*http.Response, error)
}) *azcosmos.ContainerClient {
	key, err := azcosmos.NewKeyCredential(cosmosemu.WellKnownKey)
	if err != nil {
		w.t.Fatal(err)
	}
	options := &azcosmos.ClientOptions{}
	options.Transport = transport
	options.Telemetry.ApplicationID = "test"
	client, err := azcosmos.NewClientWithKey(w.host, key, options)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
	container, err := client.NewContainer("db", "leases")
	if err != nil {
		w.t.Fatal(err)
	}
	return container
}

// read gives a lease as it is stored.
func (w *world) read(token string) Document {
	w.t.Helper()
	d, err := w.store.Read(context.WithoutCancel(w.t.Context()), w.store.ID(token))
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// put stores a version of a lease as somebody else would.
func (w *world) put(d Document) Document {
	w.t.Helper()
	done, err := w.store.Replace(w.t.Context(), d)
	if err != nil {
		w.t.Fatal(err)
	}
	return done
}

// history gives the versions of a lease in the order in which they were stored:
// the emulator counts its ETags up.
func (w *world) history(token string) []Document {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(w.written), func(d Document) bool { return d.Token != token })
	slices.SortFunc(list, func(a, b Document) int { return strings.Compare(a.ETag, b.ETag) })
	return list
}

// process is one Manager with its network, log and metrics.
type process struct {
	w       *world
	name    string
	m       *Manager
	wire    *wire
	cancel  context.CancelFunc
	done    chan error
	log     *observer.ObservedLogs
	metrics *prometheus.Registry

	mu      sync.Mutex
	tenures []*tenureSeen
}

// tenureSeen is what one call of serve saw.
type tenureSeen struct {
	t           *Tenure
	token       string
	began       time.Time
	workEnded   time.Time
	cause       error
	returned    time.Time
	checkpoints []string // every position given
	stored      string   // the last that CheckpointNow confirmed
}

func (w *world) process(name string, edit ...func(*Config, *Deps)) *process {
	w.t.Helper()
	p := &process{w: w, name: name, done: make(chan error, 1), metrics: prometheus.NewRegistry()}
	p.wire = &wire{w: w, inner: inproc.New(w.server)}
	core, log := observer.New(zapcore.DebugLevel)
	p.log = log
	cfg := DefaultConfig()
	cfg.RenewInterval, cfg.CheckpointInterval = 2*time.Second, time.Second // what the bounds in these tests are counted for
	deps := Deps{
		Store: NewStore(w.client(p.wire), testPrefix), Instance: name, Log: zap.New(core), Metrics: p.metrics,
		Ranges: func(context.Context) ([]Range, error) { return w.rangesNow(), nil },
	}
	for _, f := range edit {
		f(&cfg, &deps)
	}
	var err error
	if p.m, err = NewManager(cfg, deps); err != nil {
		w.t.Fatal(err)
	}
	w.started++
	draw := seeded(w.seed, fmt.Sprintf("%s %d", name, w.started))
	p.m.chance, p.m.self.StartID = draw, fmt.Sprintf("%016X%d", uint64(draw(math.MaxInt64)), w.started)
	return p
}

// start runs the Manager. Each tenure calls work, which nil makes wait for stop.
func (p *process) start(work func(stop, work context.Context, s *tenureSeen) error) *process {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() {
		p.done <- p.m.Run(ctx, func(stop, lost context.Context, t *Tenure) error {
			s := &tenureSeen{t: t, token: t.Token(), began: time.Now()}
			p.mu.Lock()
			p.tenures = append(p.tenures, s)
			p.mu.Unlock()
			unhook := context.AfterFunc(lost, func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				s.workEnded, s.cause = time.Now(), context.Cause(lost)
			})
			defer unhook()
			var err error
			if work != nil {
				err = work(stop, lost, s)
			} else {
				<-stop.Done()
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			s.returned = time.Now()
			return err
		})
	}()
	return p
}

// stop ends the Manager as a shutdown does.
func (p *process) stop() {
	p.w.t.Helper()
	p.cancel()
	if err := <-p.done; err != nil {
		p.w.t.Errorf("%s: run: %v", p.name, err)
	}
}

// seen gives copies of what the tenures of a token saw, all tokens for "".
func (p *process) seen(token string) []tenureSeen {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []tenureSeen
	for _, s := range p.tenures {
		if token == "" || s.token == token {
			list = append(list, *s)
		}
	}
	return list
}

func (p *process) holds(token string) *Tenure {
	for _, s := range p.seen(token) {
		if s.t.Trusted() == nil && s.returned.IsZero() { // else nothing is done with it any more
			return s.t
		}
	}
	return nil
}

// holding gives the tokens of the leases that p trusts at this moment.
func (p *process) holding() []string {
	var tokens []string
	for _, s := range p.seen("") {
		if s.t.Trusted() == nil && s.returned.IsZero() {
			tokens = append(tokens, s.token)
		}
	}
	slices.Sort(tokens)
	return tokens
}

func (p *process) metric(name string) float64 {
	p.w.t.Helper()
	families, err := p.metrics.Gather()
	if err != nil {
		p.w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	p.w.t.Fatalf("no metric %s", name)
	return 0
}

func (p *process) logged(message string) int { return p.log.FilterMessage(message).Len() }

// guard watches for d that no range is trusted by two processes at once.
func (w *world) guard(d time.Duration, processes ...*process) {
	w.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		for _, r := range w.rangesNow() {
			var holders []string
			for _, p := range processes {
				if p.holds(r.Token) != nil {
					holders = append(holders, p.name)
				}
			}
			if len(holders) > 1 {
				w.t.Fatalf("range %s is trusted by %v", r.Token, holders)
			}
		}
	}
}

// create stores leases as they would be found.
func (w *world) create(list ...Document) {
	w.t.Helper()
	for _, d := range list {
		if _, err := w.store.Create(w.t.Context(), d); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) createRaw(body string) {
	w.t.Helper()
	var d struct{ ID string }
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.raw.CreateItem(w.t.Context(), azcosmos.NewPartitionKeyString(d.ID), []byte(body), nil); err != nil {
		w.t.Fatal(err)
	}
}

func at(n int) string { return strconv.Quote(strconv.Itoa(n)) }

func number(t *testing.T, continuation string) int {
	t.Helper()
	if continuation == "" {
		return 0
	}
	s, err := strconv.Unquote(continuation)
	n, err2 := strconv.Atoi(s)
	if errors.Join(err, err2) != nil {
		t.Fatalf("position %q", continuation)
	}
	return n
}
