package simulation_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"opfeed/internal/inproc"
)

// process is what a test can do to a replica's connections, all of them: kill it
// in the middle of a request, and stop it for a while.
type process struct {
	mu      sync.Mutex
	dead    bool
	dies    int  // with this request to the account; 0: not by number
	count   int  // of requests
	doomed  bool // it dies with its next request to the account
	applied bool // which is applied all the same
	sent    bool // a frozen process's requests are on their way already
	frozen  chan struct{}
}

// dead is what a killed process gets for all that it sends. The SDK does not try
// again: it would pause, with a mutex held.
type dead struct{}

func (dead) Error() string { return "process was killed" }

// NonRetriable is asked for by azcore.
func (dead) NonRetriable() {}

var errDead error = dead{}

// doom lets the process die with its next request.
func (p *process) doom(applied bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doomed, p.applied = true, applied
}

func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

func (p *process) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// freeze stops everything that passes through; false if it is frozen or dead.
// sent: what is being sent is applied on thaw, even if nobody waits for it then.
func (p *process) freeze(sent bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil || p.dead {
		return false
	}
	p.frozen, p.sent = make(chan struct{}), sent
	return true
}

func (p *process) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

// wait returns when the process goes on. late: a request that waited is sent even
// if its context has ended.
func (p *process) wait() (late bool) {
	p.mu.Lock()
	frozen, sent := p.frozen, p.sent
	p.mu.Unlock()
	if frozen == nil {
		return false
	}
	<-frozen
	return sent
}

// begin says whether a request to the account is sent, and whether the process
// dies with it.
func (p *process) begin() (alive, last, applied bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return false, false, false
	}
	p.count++
	if p.doomed || p.count == p.dies {
		p.dead = true
		return true, true, p.applied
	}
	return true, false, false
}

type contextKey uint8

const (
	keyLeft contextKey = iota
	keyEffect
)

// leftAt is when a request left its client.
func leftAt(ctx context.Context) time.Time {
	if at, ok := ctx.Value(keyLeft).(time.Time); ok {
		return at
	}
	return time.Now()
}

func effectOf(ctx context.Context) effect {
	e, _ := ctx.Value(keyEffect).(effect)
	return e
}

// toAccount is a replica's way to the account.
type toAccount struct {
	who   *replica
	next  *inproc.Transport
	stray *sync.WaitGroup // requests that outlive their clients
}

// Do implements policy.Transporter.
func (t *toAccount) Do(r *http.Request) (*http.Response, error) {
	p := &t.who.process
	alive, last, applied := p.begin()
	if !alive || last && !applied {
		return nil, errDead
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	ctx := context.WithValue(r.Context(), keyLeft, time.Now())
	q := parse(t.who, time.Now(), r, body)
	if q.kind == "other" {
		return t.metadata(ctx, r)
	}
	t.who.cluster.account.left(q)
	e, name := t.who.cluster.account.weather.draw(ofCosmos, t.who.number, q.kind, q.container+"/"+q.id+q.rng)
	if name != "" {
		t.who.hit(name, q)
	}
	ctx = context.WithValue(ctx, keyEffect, e)
	send := func(ctx context.Context) (*http.Response, error) {
		again := r.Clone(ctx)
		again.Body = io.NopCloser(bytes.NewReader(body))
		return t.next.Do(again)
	}

	sent := p.wait()
	switch {
	case sent, last, e.late > 0:
		return t.late(ctx, r, send, e.late)
	case e.twice:
		if resp, err := send(ctx); err == nil {
			_ = resp.Body.Close()
		}
	}
	resp, err := send(ctx)
	return t.back(r, resp, err)
}

// metadata is about the account, the database or a container. The SDK holds a mutex
// while it reads that, and pauses between tries: nothing may keep it waiting, or
// the bubble's clock would stop for whoever waits for the mutex.
func (t *toAccount) metadata(ctx context.Context, r *http.Request) (*http.Response, error) {
	resp, err := t.next.Do(r.Clone(ctx))
	if err == nil {
		resp.Request = r
	}
	return resp, err
}

// back brings a reply to whoever is still there.
func (t *toAccount) back(r *http.Request, resp *http.Response, err error) (*http.Response, error) {
	t.who.process.wait()
	if t.who.process.isDead() {
		err = errDead
	} else if r.Context().Err() != nil {
		err = r.Context().Err()
	}
	if err != nil {
		if resp != nil {
			_ = resp.Body.Close()
		}
		return nil, err
	}
	resp.Request = r
	return resp, nil
}

// late lets a request arrive, after a while, even if its client does not wait.
func (t *toAccount) late(ctx context.Context, r *http.Request, send func(context.Context) (*http.Response, error), after time.Duration) (*http.Response, error) {
	type answer struct {
		resp *http.Response
		err  error
	}
	arrived := make(chan answer, 1)
	t.stray.Go(func() {
		time.Sleep(after)
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		resp, err := send(detached)
		arrived <- answer{resp, err}
	})
	select {
	case a := <-arrived:
		return t.back(r, a.resp, a.err)
	case <-ctx.Done():
		return t.back(r, nil, ctx.Err())
	}
}

// toOther is a replica's way to Cluster Service, or to ARM.
type toOther struct {
	who   *replica
	next  *inproc.Transport
	where string
}

// RoundTrip implements http.RoundTripper.
func (t *toOther) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.who.process.isDead() {
		return nil, errDead
	}
	if t.where == ofCS {
		e, name := t.who.cluster.account.weather.draw(ofCS, t.who.number, r.Method, r.URL.Path)
		if name != "" {
			t.who.hit(name, nil)
		}
		r = r.WithContext(context.WithValue(r.Context(), keyEffect, e))
		defer t.who.cluster.account.asked(r.URL, time.Now())
	}
	t.who.process.wait()
	resp, err := t.next.RoundTrip(r)
	t.who.process.wait()
	if t.who.process.isDead() {
		if resp != nil {
			_ = resp.Body.Close()
		}
		return nil, errDead
	}
	return resp, err
}
