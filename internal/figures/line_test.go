package figures_test

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// A round trip takes so long: a few milliseconds, as within a region, so that
// virtual time flatters nobody.
const leastTrip, mostTrip = 2 * time.Millisecond, 8 * time.Millisecond

var errDead = errors.New("process is dead")

// moment is when a process dies.
type moment int

const (
	atAnyTime   moment = iota
	beforeWrite        // its next write is not applied
	afterWrite         // its next write is applied, and nobody hears of it
)

// line is a replica's way to Cosmos DB, and its life: after its death no request
// leaves, and no reply finds anybody.
type line struct {
	next policy.Transporter

	mu    sync.Mutex
	rng   *rand.Rand
	when  moment
	armed bool
	dead  chan struct{}
}

func newLine(next policy.Transporter, seed uint64) *line {
	return &line{next: next, rng: rand.New(rand.NewPCG(seed, 1)), dead: make(chan struct{})}
}

// die kills the process now, or with its next write.
func (l *line) die(when moment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if when == atAnyTime {
		close(l.dead)
		return
	}
	l.armed, l.when = true, when
}

func (l *line) isDead() bool {
	select {
	case <-l.dead:
		return true
	default:
		return false
	}
}

// Do implements policy.Transporter.
func (l *line) Do(req *http.Request) (*http.Response, error) {
	there, back := l.trip(), l.trip()
	if err := l.travel(req, there); err != nil {
		return nil, err
	}
	last := isWrite(req) && l.takes()
	if last && l.when == beforeWrite {
		close(l.dead)
		return nil, errDead
	}
	resp, err := l.next.Do(req)
	if last {
		close(l.dead)
	}
	if err == nil {
		if err = l.travel(req, back); err != nil {
			_ = resp.Body.Close()
			return nil, err
		}
	}
	return resp, err
}

// takes says whether this write is the one to die with.
func (l *line) takes() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	armed := l.armed
	l.armed = false
	return armed
}

func (l *line) trip() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return (leastTrip + time.Duration(l.rng.Int64N(int64(mostTrip-leastTrip)))) / 2
}

func (l *line) travel(req *http.Request, d time.Duration) error {
	select {
	case <-l.dead:
		return errDead
	case <-req.Context().Done():
		return req.Context().Err()
	case <-time.After(d):
	}
	if l.isDead() {
		return errDead
	}
	return nil
}

func isWrite(req *http.Request) bool {
	switch req.Method {
	case http.MethodGet, http.MethodHead:
		return false
	case http.MethodPost:
		return !strings.EqualFold(req.Header.Get("x-ms-documentdb-query"), "true")
	default:
		return true
	}
}
