package simulation_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// story is what happened in a cluster, the last of it. A line that repeats is told
// once, with how often it came. It ends with the first violation.
type story struct {
	began time.Time

	mu        sync.Mutex
	lines     []line
	violation string
	number    int // of the invariant
	broken    chan struct{}
}

type line struct {
	at    time.Duration
	text  string
	times int
}

const storyLines = 120

func newStory() *story { return &story{began: time.Now(), broken: make(chan struct{})} }

// tell adds an event of now.
func (s *story) tell(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.violation != "" {
		return
	}
	text := fmt.Sprintf(format, args...)
	for i := len(s.lines) - 1; i >= max(0, len(s.lines)-6); i-- {
		if s.lines[i].text == text {
			s.lines[i].times++
			return
		}
	}
	s.lines = append(s.lines, line{time.Since(s.began), text, 1})
	if len(s.lines) > 2*storyLines {
		s.lines = slices.Clone(s.lines[len(s.lines)-storyLines:])
	}
}

// violated ends the story. Only the first counts: what follows from it may be
// anything.
func (s *story) violated(invariant int, format string, args ...any) {
	text := fmt.Sprintf("invariant %d is violated: ", invariant) + fmt.Sprintf(format, args...)
	s.tell("%s", text)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.violation == "" {
		s.violation, s.number = text, invariant
		close(s.broken)
	}
}

func (s *story) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, l := range s.lines[max(0, len(s.lines)-storyLines):] {
		fmt.Fprintf(&b, "%9.3fs  %s", l.at.Seconds(), l.text)
		if l.times > 1 {
			fmt.Fprintf(&b, " (%d times)", l.times)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
