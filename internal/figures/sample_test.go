package figures_test

import (
	"math"
	"slices"
	"testing"
	"time"
)

// sample is how long one thing took, each time that it was tried.
type sample struct {
	took   []time.Duration
	missed int // tries that came to no end
}

func (s *sample) add(d time.Duration) { s.took = append(s.took, d) }
func (s *sample) miss()               { s.missed++ }
func (s *sample) tries() int          { return len(s.took) + s.missed }

// quantile is the nearest rank's; false if so many tries came to no end.
func (s *sample) quantile(q float64) (time.Duration, bool) {
	sorted := slices.Sorted(slices.Values(s.took))
	i := int(math.Ceil(q*float64(s.tries()))) - 1
	if i = max(i, 0); i >= len(sorted) {
		return 0, false
	}
	return sorted[i], true
}

func (s *sample) demand(t *testing.T, what string, most time.Duration) {
	t.Helper()
	if p99, reached := s.quantile(.99); !reached {
		t.Errorf("%s: %d of %d came to no end", what, s.missed, s.tries())
	} else if p99 > most {
		t.Errorf("%s: p99 is %v, want at most %v", what, p99, most)
	}
}

func TestQuantile(t *testing.T) {
	s := sample{}
	for i := range 100 {
		s.add(time.Duration(100 - i))
	}
	for q, want := range map[float64]time.Duration{0: 1, .5: 50, .99: 99, 1: 100} {
		if have, reached := s.quantile(q); have != want || !reached {
			t.Errorf("%v: have %d, want %d", q, have, want)
		}
	}
	s.miss()
	if _, reached := s.quantile(.99); !reached {
		t.Error("one in a hundred is beyond the 99th")
	}
	if have, reached := s.quantile(1); reached {
		t.Errorf("what never came has taken %v", have)
	}
}
