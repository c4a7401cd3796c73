package cosmosemu

import (
	"fmt"
	"sync/atomic"
	"time"
)

// clock is the account's: the machine's, and what it has been told to jump
// ahead. It counts for _ts, the time to live, the Date header, the functions of
// time in queries, throughput and the hold of a split.
type clock struct{ ahead atomic.Int64 }

// farthest is how far ahead of the machine's a clock may be: what follows from
// its times can be computed with.
const farthest = 100 * 365 * 24 * time.Hour

func (c *clock) now() time.Time { return c.at(time.Now()) }

// at is the account's time when the machine's is t.
func (c *clock) at(t time.Time) time.Time { return t.Add(time.Duration(c.ahead.Load())) }

func (c *clock) advance(d time.Duration) {
	for {
		ahead := c.ahead.Load()
		if c.ahead.CompareAndSwap(ahead, ahead+int64(min(d, farthest-time.Duration(ahead)))) {
			return
		}
	}
}

// AdvanceClock lets the account's clock jump ahead, by which items expire: _ts,
// the time to live, the Date header and GetCurrentTimestamp() follow it. Signatures are checked, and
// faults timed, by the machine's. A clock does not go back, nor to more than 100
// years ahead.
func (s *Server) AdvanceClock(d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("advance clock by %v: it cannot go back", d)
	}
	s.clock.advance(d)
	return nil
}
