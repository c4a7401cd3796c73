package system_test

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/sourcegraph/conc"
)

// probed is one answer of a replica, or none.
type probed struct {
	at         time.Time
	seat, path string
	took       time.Duration
	code       int // 0: no answer
}

// prober asks every replica how it is twice a second, as a kubelet would, each path
// beside the other. Prometheus itself tells how its scrapes go.
type prober struct {
	mu   sync.Mutex
	list []probed
}

func (f *fleet) probe() *prober {
	p := &prober{}
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.t.Context()))
	var wg conc.WaitGroup
	for _, s := range f.seats {
		for _, path := range []string{"/healthz", "/readyz"} {
			wg.Go(func() { p.run(ctx, s.name, s.url, path) })
		}
	}
	f.t.Cleanup(func() { cancel(); wg.Wait() })
	return p
}

func (p *prober) run(ctx context.Context, seat, url, path string) {
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	for next := time.Now(); reaches(ctx, next); next = later(next.Add(500*time.Millisecond), time.Now()) {
		a := probed{at: time.Now(), seat: seat, path: path}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, nil)
		if err != nil {
			return
		}
		resp, err := client.Do(req)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		if ctx.Err() != nil {
			return
		}
		a.took = time.Since(a.at)
		if err == nil {
			a.code = resp.StatusCode
		}
		p.mu.Lock()
		p.list = append(p.list, a)
		p.mu.Unlock()
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// probeCount is what the probes of one path came to within a span of time.
type probeCount struct {
	asked, none, refused int           // none: no answer; refused: another one than 200
	longest              time.Duration // of those that were answered
}

func (p *prober) of(path string, from, to time.Time) (a probeCount) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.list {
		if one.path != path || one.at.Before(from) || !one.at.Before(to) {
			continue
		}
		a.asked++
		a.longest = max(a.longest, one.took)
		switch one.code {
		case http.StatusOK:
		case 0:
			a.none++
		default:
			a.refused++
		}
	}
	return a
}
