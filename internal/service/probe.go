package service

import (
	"context"
	"errors"
	"time"

	"opfeed/cs"
)

// Intervals of the watch over what the service depends on.
const (
	watchInterval = time.Second
	// silence is how long Cosmos DB must have failed, with no success between,
	// before the replica is not ready: a single lost connection is nothing.
	silence = 5 * time.Second
	// probeInterval is how often Cluster Service is asked while it works: an idle
	// replica would not notice its absence otherwise.
	probeInterval = 30 * time.Second
)

// absentObject is asked for as a probe: the answer that it does not exist shows
// that Cluster Service works and accepts our credentials.
var absentObject = cs.Ref{Kind: cs.Cluster, Cluster: "opfeed-readiness-probe"}

// watch keeps the conditions of readiness true to what the clients see, and those
// who watch this replica informed.
func (s *Service) watch(ctx context.Context) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	rounds := 0
	for {
		s.pulse.beat()
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.pulse.stop() // here alone: a watch that panics must be missed
			return
		}
		if e := s.running.Load(); e != nil {
			s.readiness.Set(conditionCosmos, s.meter.Failing(silence))
			s.readiness.Set(conditionLeases, e.settled())
			s.readiness.Set(conditionFeed, e.fresh())
		}
		s.observeClusterService()
		if s.frames.watched() {
			s.frames.publish(s.frame())
		}
		if rounds++; rounds%int(historyInterval/watchInterval) == 0 {
			s.sample()
		}
	}
}

// probe asks Cluster Service now and then, more often while it fails.
func (s *Service) probe(ctx context.Context) {
	var b backoff
	for {
		_ = s.cs.Exists(ctx, absentObject) // the client keeps what came of it
		if ctx.Err() != nil {
			return
		}
		if s.observeClusterService() {
			b.reset()
			if !pause(ctx, jitter(probeInterval)) {
				return
			}
		} else if !b.wait(ctx) {
			return
		}
	}
}

func (s *Service) observeClusterService() bool {
	ok, since, why := s.cs.Healthy()
	switch {
	case ok:
		s.readiness.Set(conditionClusterService, nil)
	case !since.IsZero():
		s.readiness.Set(conditionClusterService, errors.New(why))
	}
	return ok
}
