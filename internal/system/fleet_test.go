package system_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"opfeed/internal/workload"
)

// fleet is several opfeed run beside each other over sockets, with an emulator
// and a simulator as processes, too.
type fleet struct {
	t                *testing.T
	bin              string
	env              []string // of a replica
	cosmosURL, csURL string
	leases           *leaseWatch
	seats            []*seat
	tellApart        bool // Cluster Service knows the replicas by their names
}

// seat is where one replica runs, and after its end the next. Each has a name of
// its own, as pods have.
type seat struct {
	*process
	name  string
	lives int
	url   string // "" until it is asked for
}

// newFleet starts all but the replicas; begin starts those. Cluster Service works
// so many times faster than the real one.
func newFleet(t *testing.T, ranges, seats, speed int, env ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, bin: build(t)}
	cosmos := launch(t, nil, filepath.Join(f.bin, "opfeed-dev"), "cosmos", "--listen", "127.0.0.1:0", "--ranges", fmt.Sprint(ranges))
	cs := launch(t, nil, filepath.Join(f.bin, "opfeed-dev"), "cs", "--listen", "127.0.0.1:0", "--speed", fmt.Sprint(speed))
	account, service := cosmos.exports(t, 5), cs.exports(t, 1)
	f.cosmosURL, f.csURL = exported(account[0]), exported(service[0])
	f.env = append(append(account, service...), env...)
	f.env = append(f.env, "OPFEED_LISTEN=127.0.0.1:0", "OPFEED_ADMIN_LISTEN=127.0.0.1:0", "OPFEED_LOG_LEVEL=info",
		// What is deleted while nobody looks was never seen by the next process.
		"OPFEED_UNSEEN_GRACE=20s")
	f.leases = watchLeases(t, f.cosmosURL)
	for range seats {
		f.seats = append(f.seats, &seat{})
	}
	return f
}

func (f *fleet) begin() {
	f.t.Helper()
	for i := range f.seats {
		f.start(i)
	}
	for i := range f.seats {
		f.ready(i)
	}
	f.until("every range has an owner", func() bool { return len(f.leases.all()) > 0 && f.leases.held() == len(f.leases.all()) })
}

func exported(variable string) string {
	_, v, _ := strings.Cut(variable, "=")
	return v
}

// start lets a replica run where none does.
func (f *fleet) start(i int) {
	f.t.Helper()
	s := f.seats[i]
	s.lives++
	s.name, s.url = fmt.Sprintf("replica-%d.%d", i+1, s.lives), ""
	env := append(slices.Clone(f.env), "OPFEED_INSTANCE="+s.name)
	if f.tellApart {
		env = append(env, "OPFEED_CS_URL="+f.underName(s.name))
	}
	s.process = launch(f.t, env, filepath.Join(f.bin, "opfeed"), "run")
}

// underName is Cluster Service for one replica: its requests go on under its name.
func (f *fleet) underName(name string) string {
	f.t.Helper()
	target, err := url.Parse(f.csURL)
	if err != nil {
		f.t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Set("User-Agent", name)
		},
		ErrorLog: log.New(io.Discard, "", 0), // of replicas that died meanwhile
	})
	f.t.Cleanup(proxy.Close)
	return proxy.URL
}

// ready waits until the replica says that it is.
func (f *fleet) ready(i int) {
	f.t.Helper()
	s := f.seats[i]
	if s.url == "" {
		select {
		case address := <-s.listening:
			s.url = "http://" + address
		case <-s.gone:
			f.t.Fatalf("%s ended before it was ready", s.name)
		case <-time.After(hangs):
			f.t.Fatalf("%s does not listen", s.name)
		}
	}
	f.until(s.name+" is ready", func() bool {
		resp, err := probe.Get(s.url + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

var probe = &http.Client{Timeout: time.Second}

// kill ends a replica as a machine that dies does.
func (f *fleet) kill(i int) {
	f.t.Helper()
	f.alive(i)
	f.seats[i].signal(f.t, syscall.SIGKILL)
	<-f.seats[i].gone
}

// freeze stops a replica as a machine does that swaps, or is moved; thaw lets it
// go on, and it does not know.
func (f *fleet) freeze(i int) {
	f.t.Helper()
	f.alive(i)
	f.seats[i].signal(f.t, syscall.SIGSTOP)
}

func (f *fleet) thaw(i int) {
	f.t.Helper()
	f.seats[i].signal(f.t, syscall.SIGCONT)
}

// stop asks a replica to end, and waits until it has.
func (f *fleet) stop(i int) {
	f.t.Helper()
	f.alive(i)
	s := f.seats[i]
	s.signal(f.t, syscall.SIGTERM)
	select {
	case err := <-s.ended:
		if err != nil {
			f.t.Errorf("%s after SIGTERM: %v", s.name, err)
		}
	case <-time.After(hangs):
		f.t.Fatalf("%s does not end after SIGTERM", s.name)
	}
}

// alive fails the test if a replica has ended by itself.
func (f *fleet) alive(i int) {
	f.t.Helper()
	select {
	case <-f.seats[i].gone:
		f.t.Fatalf("%s ended by itself", f.seats[i].name)
	default:
	}
}

// byHoldings orders the seats by how much they hold, the most first.
func (f *fleet) byHoldings() []int {
	order := make([]int, len(f.seats))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return len(f.leases.of(f.seats[b].name)) - len(f.leases.of(f.seats[a].name))
	})
	return order
}

// hangs is how long a test waits for what comes in moments: it decides nothing
// but that there is no sense in waiting on.
const hangs = 2 * time.Minute

func (f *fleet) until(what string, holds func() bool) {
	f.t.Helper()
	if !within(f.t, hangs, holds) {
		f.t.Fatalf("in vain: %s", what)
	}
}

// within waits until something holds, and says whether it came to that in time.
func within(t *testing.T, limit time.Duration, holds func() bool) bool {
	t.Helper()
	late := time.After(limit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-late:
			return false
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-tick.C:
		}
	}
	return true
}

// traffic is the front end as a process.
type traffic struct {
	*process
	file string
}

func (f *fleet) load(duration time.Duration, args ...string) *traffic {
	f.t.Helper()
	file := filepath.Join(f.t.TempDir(), "report.json")
	return &traffic{launch(f.t, nil, filepath.Join(f.bin, "opfeed-dev"), append([]string{
		"load", "--cosmos", f.cosmosURL, "--cs", f.csURL, "--for", duration.String(), "--report", file,
	}, args...)...), file}
}

// report waits for the end and holds it to at least so many operations, none of
// them lost or ended wrongly.
func (l *traffic) report(t *testing.T, operations int) workload.Report {
	t.Helper()
	if err := <-l.ended; err != nil {
		t.Errorf("load: %v", err)
	}
	<-l.read
	for _, line := range l.wrong {
		t.Error(line)
	}
	var r workload.Report
	body, err := os.ReadFile(l.file)
	if err == nil {
		err = json.Unmarshal(body, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	if o := r.Operations; o.Created < operations || o.Terminal != o.Created || r.Lost() {
		t.Errorf("want at least %d operations, all terminal and right: %+v", operations, o)
	}
	return r
}

// live is what the front end shows of itself.
func (l *traffic) live() string {
	if line := l.said.Load(); line != nil {
		return *line
	}
	return ""
}
