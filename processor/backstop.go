package processor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/sourcegraph/conc/panics"
	"go.uber.org/zap"

	"opfeed/internal/logkey"
	"opfeed/internal/purpose"
	"opfeed/processor/dispatch"
)

// backstop lists what is pending, for as long as ctx lasts: every ListInterval,
// and every FallbackInterval while some range's feed cannot be relied on.
func (p *Processor) backstop(ctx context.Context) {
	const tick = time.Second // how soon a feed that falls silent is noticed
	trouble := outage{log: p.log, what: "list of pending"}
	records := outage{log: p.log, what: "list of quarantine records"}
	spread := 1 - rand.Float64()/10 // of replicas that started together
	for last := time.Now(); ctx.Err() == nil; sleep(ctx, tick) {
		interval := time.Duration(float64(p.listInterval(time.Now())) * spread)
		if time.Since(last) < interval {
			continue
		}
		last = time.Now()
		if held := p.held(); len(held) > 0 {
			// Without the list nobody would notice what the feed leaves out.
			if caught := panics.Try(func() { p.lookBehind(ctx, held, &trouble, &records) }); caught != nil {
				p.log.Error("list panicked, it is repeated", zap.String(logkey.Reason, fmt.Sprintf("%.200v", caught.Value)),
					zap.String("stack", string(caught.Stack)))
			}
		}
	}
}

func (p *Processor) lookBehind(ctx context.Context, held []*tenure, trouble, records *outage) {
	if p.handler.Pending != nil {
		p.listAll(ctx, held, trouble)
	}
	p.endQuarantine(ctx, records)
}

func (p *Processor) listInterval(now time.Time) time.Duration {
	for _, t := range p.held() {
		if t.needsList(now) {
			return p.cfg.FallbackInterval
		}
	}
	return p.cfg.ListInterval
}

// needsList says whether the feed of this range cannot be relied on: it is
// silent, has lied and delivered nothing since, or was never listed.
func (t *tenure) needsList(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	lastRead := t.lastRead
	if lastRead.Before(t.began) {
		lastRead = t.began
	}
	silent := !t.blocked && now.Sub(lastRead) > t.cfg.SilentAfter+t.cfg.FeedInterval
	return silent || !t.listed || t.found.After(t.lastChange)
}

// listAll runs one list and gives each change to the tenure that owns it.
func (p *Processor) listAll(ctx context.Context, held []*tenure, trouble *outage) {
	began := time.Now()
	sessions := make([]string, 0, len(held))
	shown := make(map[*tenure]map[dispatch.Key]bool, len(held))
	for _, t := range held {
		shown[t] = map[dispatch.Key]bool{}
		if s := t.lastSession(); s != "" {
			sessions = append(sessions, s)
		}
	}
	req := PendingRequest{Session: strings.Join(sessions, ",")}
	err := p.pending(ctx, req, func(c dispatch.Change) {
		for _, t := range held {
			if t.owns(c.Partition) {
				shown[t][c.Key] = true
				t.submitListed(c)
				return
			}
		}
	})
	if ctx.Err() != nil {
		return
	}
	p.metrics.listed(time.Since(began), err)
	if err != nil {
		trouble.begin(err)
		return
	}
	trouble.over()
	for _, t := range held {
		t.setListed()
		n := t.dispatcher.Missing(began, func(k dispatch.Key) bool { return shown[t][k] })
		if n > 0 {
			t.log.Debug("pending changes not listed, reading them", zap.Int("count", n))
		}
	}
	p.mu.Lock()
	p.lastList = time.Now()
	p.mu.Unlock()
}

// listOnTakeover restores what an earlier owner left pending. If the list fails
// the backstop repeats it soon; the feed does not wait for it.
func (t *tenure) listOnTakeover(stop context.Context, session string) {
	if t.handler.Pending == nil {
		t.setListed()
		return
	}
	count, began := 0, time.Now()
	err := t.pending(stop, PendingRequest{Session: session, Documents: true}, func(c dispatch.Change) {
		if !t.owns(c.Partition) || stop.Err() != nil {
			return
		}
		count++
		c.Source = dispatch.List
		// It fails only when the tenure ends, and then nothing matters any more.
		_ = t.blocking(func() error { return t.dispatcher.Submit(stop, c, nil) })
	})
	if stop.Err() != nil {
		return
	}
	t.metrics.listed(time.Since(began), err)
	if err != nil {
		t.log.Error("list on takeover failed, trying again soon", zap.String(logkey.Reason, logkey.Words(err)))
		return
	}
	t.setListed()
	t.log.Info("pending changes listed", zap.Int("count", count))
}

// pending is Handler.Pending with its panics caught: a document that it cannot
// bear must not end the process again and again.
func (p *Processor) pending(ctx context.Context, req PendingRequest, yield func(dispatch.Change)) (err error) {
	ctx = purpose.With(ctx, purpose.List)
	if caught := panics.Try(func() { err = p.handler.Pending(ctx, req, yield) }); caught != nil {
		return fmt.Errorf("list of pending panicked: %.200v", caught.Value)
	}
	return err
}

// submitListed hands over a listed change; the dispatcher ignores known ones. It
// never waits: one full queue must not keep the list from the other ranges, and
// what finds no place is listed again.
func (t *tenure) submitListed(c dispatch.Change) {
	c.Source = dispatch.List
	c.Late = t.late(c.Written)
	if err := t.dispatcher.TrySubmit(c, nil); errors.Is(err, dispatch.ErrFull) {
		t.log.Debug("listed change finds no place", zap.String(logkey.SubscriptionID, c.Partition),
			zap.String(logkey.DocumentID, c.ID))
	}
}

// late says whether the feed should have brought a version by now: it is older
// than the feed can be late, and nothing is left to be read or held up by a full
// queue.
func (t *tenure) late(written time.Time) bool {
	const slack = 5 * time.Second
	t.mu.Lock()
	defer t.mu.Unlock()
	if written.IsZero() || t.blocked || t.behind || !t.listed {
		return false
	}
	return time.Now().Add(t.skew).Sub(written) > 3*t.cfg.FeedInterval+slack
}

// recovered counts a change that the feed had missed and lists more often until
// the feed delivers again.
func (t *tenure) recovered(c dispatch.Change) {
	t.metrics.recovered.Add(1)
	t.mu.Lock()
	t.found = time.Now()
	t.mu.Unlock()
	t.log.Warn("recovered a change that the feed had not brought",
		zap.String(logkey.SubscriptionID, c.Partition), zap.String(logkey.DocumentID, c.ID),
		zap.Time("written", c.Written))
}

func (t *tenure) lastSession() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.session
}

func (t *tenure) setListed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listed, t.lastListed = true, time.Now()
}
