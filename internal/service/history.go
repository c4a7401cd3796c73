package service

import (
	"sync"
	"time"

	"opfeed/processor/status"
)

const (
	historyInterval = 5 * time.Second
	historyKept     = 180 // points: a quarter of an hour
)

// point is how one replica is at one moment.
type point struct {
	pending, waiting, running int
	lag                       int64   // of the held ranges in all, transactions
	staleness                 float64 // of the held range that was not read for longest, seconds
	// These count since the start.
	steps, transitions int64
	requestUnits       float64
}

// history keeps the last points. The first is kept as a base for the rates alone.
type history struct {
	mu     sync.Mutex
	last   point
	end    time.Time
	series map[string][]float64
}

func (h *history) add(now time.Time, p point) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before, seconds := h.last, now.Sub(h.end).Seconds()
	first := h.end.IsZero()
	h.last, h.end = p, now
	if first || seconds <= 0 {
		return
	}
	if h.series == nil {
		h.series = map[string][]float64{}
	}
	for name, value := range map[string]float64{
		"pending": float64(p.pending), "waiting": float64(p.waiting), "running": float64(p.running),
		"lag": float64(p.lag), "staleness": p.staleness,
		"steps":        float64(p.steps-before.steps) / seconds,
		"transitions":  float64(p.transitions-before.transitions) / seconds,
		"requestUnits": (p.requestUnits - before.requestUnits) / seconds,
	} {
		h.series[name] = append(h.series[name], value)
		h.series[name] = h.series[name][max(0, len(h.series[name])-historyKept):]
	}
}

// shown gives a copy.
func (h *history) shown() status.History {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := status.History{Interval: historyInterval.Seconds(), End: h.end, Series: map[string][]float64{}}
	for _, name := range []string{"pending", "waiting", "running", "lag", "staleness", "steps", "transitions", "requestUnits"} {
		out.Series[name] = append([]float64{}, h.series[name]...)
	}
	return out
}

// sample takes a point of how this replica is.
func (s *Service) sample() {
	snap := s.Snapshot()
	p := point{
		pending: snap.Pending, waiting: snap.Waiting, running: snap.Running,
		steps: s.steps.Load(), transitions: int64(s.transitions.Count()),
	}
	for _, r := range snap.Ranges {
		if !r.Mine {
			continue
		}
		if r.Lag != nil {
			p.lag += *r.Lag
		}
		p.staleness = max(p.staleness, r.Staleness)
	}
	for _, u := range snap.Service.Cosmos {
		p.requestUnits += u.RequestUnits
	}
	s.history.add(time.Now(), p)
}
