package cs

import (
	"fmt"
	"testing"
	"time"
)

// TestBreaker plays calls at their times, in seconds. A call is "path end", where
// end is silent, answered, nothing, or silent60 for a Retry-After of a minute; one
// that begins is "path begin", and ends as "path silent" and so on. What is refused
// has to say so: "path refused".
func TestBreaker(t *testing.T) {
	type step struct {
		at   float64
		what string
	}
	// opened is how it opens at 2 s: next probe at 7 s.
	opened := []step{{0, "a silent"}, {1, "b silent"}, {2, "a silent"}}
	for name, steps := range map[string][]step{
		"opens":                         append(opened, step{2, "a refused"}, step{6.9, "c refused"}, step{7, "c answered"}, step{7, "a answered"}),
		"not by one path alone":         {{0, "a silent"}, {1, "a silent"}, {2, "a silent"}, {9, "a silent"}, {10, "b answered"}},
		"not within the span":           {{0, "a silent"}, {0, "b silent"}, {1.9, "c silent"}, {1.9, "d silent"}, {1.9, "e silent"}, {1.9, "e answered"}},
		"not by few":                    {{0, "a silent"}, {60, "b silent"}, {61, "a answered"}},
		"not by a mix":                  {{0, "a silent"}, {1, "b silent"}, {2, "c answered"}, {3, "a silent"}, {4, "b silent"}, {5, "c answered"}, {6, "a silent"}, {7, "b silent"}, {7, "c answered"}},
		"nothing counts as neither":     {{0, "a silent"}, {1, "b silent"}, {1.5, "c nothing"}, {1.9, "d nothing"}, {2, "e silent"}, {2, "a refused"}},
		"nothing does not open it":      {{0, "a silent"}, {1, "b nothing"}, {2, "c nothing"}, {3, "d nothing"}, {4, "a silent"}, {5, "b answered"}},
		"one probe at a time":           append(opened, step{7, "c begin"}, step{8, "d refused"}, step{30, "d refused"}, step{31, "c silent"}, step{31, "d silent"}, step{32, "e refused"}),
		"a probe an interval":           append(opened, step{7, "c silent"}, step{11.9, "d refused"}, step{12, "d silent"}, step{16.9, "e refused"}, step{17, "e answered"}, step{17, "f answered"}),
		"retry-after at the opening":    {{0, "a silent"}, {1, "b silent"}, {2, "a silent60"}, {61.9, "c refused"}, {62, "c answered"}},
		"retry-after of a probe":        append(opened, step{7, "c silent60"}, step{66.9, "d refused"}, step{67, "d answered"}),
		"retry-after has a bound":       append(opened, step{7, "c silent300"}, step{66.9, "d refused"}, step{67, "d answered"}),
		"an abandoned probe":            append(opened, step{7, "c begin"}, step{7.1, "c nothing"}, step{11.9, "d refused"}, step{12, "d answered"}, step{12, "e answered"}),
		"an answer from before":         append([]step{{0, "x begin"}}, append(opened, step{3, "c refused"}, step{4, "x answered"}, step{4, "c answered"})...),
		"a silent one from before":      append([]step{{0, "x begin"}}, append(opened, step{4, "x silent"}, step{6.9, "c refused"}, step{7, "c answered"})...),
		"after it closed it counts new": append(opened, step{7, "c answered"}, step{8, "a silent"}, step{9, "b silent"}, step{9.9, "c silent"}, step{10, "d silent"}, step{10, "a refused"}),
		// The poisonous one comes first each time; its second turn waits for others.
		"a poisonous probe":             append(opened, step{7, "p begin"}, step{8, "w refused"}, step{17, "p silent"}, step{17, "p refused"}, step{20, "p refused"}, step{21, "w answered"}),
		"two poisonous ones":            append(opened, step{7, "p silent"}, step{8, "w refused"}, step{8, "q refused"}, step{12, "p refused"}, step{12, "q silent"}, step{13, "w refused"}, step{17, "p refused"}, step{17, "q refused"}, step{18, "w answered"}),
		"who stays away keeps none out": append(opened, step{7, "p silent"}, step{8, "w refused"}, step{12, "p refused"}, step{22.9, "p refused"}, step{23, "p answered"}),
		"waited for over many turns":    append(opened, step{7, "p silent"}, step{7.5, "q refused"}, step{8, "w refused"}, step{12, "q silent"}, step{17, "p refused"}, step{18, "w answered"}),
		"alone, it comes again":         append(opened, step{7, "p silent"}, step{12, "p silent"}, step{17, "p answered"}),
		"a new round when all had a go": append(opened, step{7, "p silent"}, step{8, "q refused"}, step{12, "q silent"}, step{17, "p silent"}, step{18, "q refused"}, step{22, "p refused"}, step{22, "q answered"}),
		"an old probe is not the new one": append(opened, step{7, "x begin"}, step{7, "y refused"}, step{8, "open answered"}, step{9, "a silent"}, step{10, "b silent"}, step{11, "a silent"},
			step{16, "z begin"}, step{17, "x silent"}, step{30, "w refused"}, step{31, "z answered"}),
	} {
		t.Run(name, func(t *testing.T) {
			b := breaker{threshold: 3, span: 2 * time.Second, interval: 5 * time.Second}
			start := time.Unix(0, 0)
			turns := map[string]turn{}
			for _, s := range steps {
				now := start.Add(time.Duration(s.at * float64(time.Second)))
				var path, end string
				var after int
				fmt.Sscan(s.what, &path, &end)
				if n, _ := fmt.Sscanf(end, "silent%d", &after); n == 1 {
					end = "silent"
				}
				turn, begun := turns[path]
				if path == "open" { // a call that was under way before
					begun = true
				}
				if !begun {
					got, wait, ok := b.enter(path, now)
					if ok != (end != "refused") {
						t.Fatalf("at %v: %s: let through: %v", s.at, s.what, ok)
					}
					if !ok {
						if wait <= 0 || wait > maxProbePause {
							t.Errorf("at %v: %s: told to wait for %v", s.at, s.what, wait)
						}
						continue
					}
					turn = got
				}
				ends := map[string]sort{"silent": silent, "answered": answered, "nothing": nothing}
				if kind, ok := ends[end]; ok {
					delete(turns, path)
					b.leave(turn, path, verdict{sort: kind, retryAfter: time.Duration(after) * time.Second}, now)
				} else {
					turns[path] = turn
				}
			}
		})
	}
}

// TestNoBreaker: a threshold of 0 lets everything through.
func TestNoBreaker(t *testing.T) {
	b := breaker{interval: time.Second}
	for i := range 100 {
		now := time.Unix(int64(i), 0)
		path := fmt.Sprint(i % 7)
		turn, _, ok := b.enter(path, now)
		if !ok {
			t.Fatalf("call %d is refused", i)
		}
		b.leave(turn, path, verdict{sort: silent}, now)
	}
}

// TestCheckTakesNoTurn: whatever the moment, a call that only asks whether it might
// be made is no probe. One that were would never end, and keep out all others.
func TestCheckTakesNoTurn(t *testing.T) {
	g := newGate(Config{Breaker: 1, BreakerProbe: time.Microsecond}, nil)
	b := &g.breaker
	b.open, b.tried, b.waiting = true, map[string]struct{}{}, map[string]time.Time{}
	for i := range 200_000 {
		b.due = time.Now().Add(time.Duration(i%1000) * time.Nanosecond)
		_ = g.check("a")
		if b.probing {
			t.Fatalf("try %d: it took the turn of a probe", i)
		}
	}
}
