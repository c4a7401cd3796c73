package workload

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

func TestSameSeedSameOperations(t *testing.T) {
	a, b, other := NewPlan(7, 50), NewPlan(7, 50), NewPlan(8, 50)
	if !reflect.DeepEqual(a.Subscriptions(), b.Subscriptions()) {
		t.Error("the same seed gave other subscriptions")
	}
	// Out of order: a cycle must not depend on those before it.
	_ = b.Cycle(5)
	for n := range 6 {
		if !reflect.DeepEqual(a.Cycle(n), b.Cycle(n)) {
			t.Errorf("cycle %d: the same seed gave other operations", n)
		}
		if reflect.DeepEqual(a.Cycle(n), other.Cycle(n)) {
			t.Errorf("cycle %d: another seed gave the same operations", n)
		}
	}
}

func TestAllKindsOccurEarly(t *testing.T) {
	const within = 20 * time.Second
	c := DefaultConfig()
	rate := c.Rate
	for seed := range uint64(20) {
		p := NewPlan(seed, c.Subscriptions)
		seen := map[string]bool{}
		generations := map[Generation]bool{}
		var superseded, implicit, late bool
		i := 0
		for n := 0; i < int(rate*within.Seconds()); n++ {
			for _, s := range p.Cycle(n).Steps {
				if i++; i > int(rate*within.Seconds()) {
					break
				}
				seen[fmt.Sprint(s.Target.Kind, s.Request)] = true
				generations[s.Target.Generation] = true
				superseded = superseded || s.Supersedes >= 0
				implicit = implicit || len(s.Implicit) > 0
				late = late || s.LateID
			}
		}
		if len(seen) != 11 {
			t.Errorf("seed %d: %d kinds in %v: %v", seed, len(seen), within, seen)
		}
		if len(generations) != 3 || !superseded || !implicit || !late {
			t.Errorf("seed %d: generations %v, superseded %v, implicit %v, late id %v", seed, generations, superseded, implicit, late)
		}
	}
}

func TestPlanStartsNothingOnABusyObject(t *testing.T) {
	p := NewPlan(3, 5)
	ready, used := map[string]bool{}, map[string]Request{}
	documents := map[key]bool{}
	for n := range 50 {
		c := p.Cycle(n)
		for _, r := range c.Ready {
			ready[r.Object()] = true
		}
		for i, s := range c.Steps {
			o := s.Target.Object()
			before, again := used[o]
			if s.Request == RevokeCredentials && c.Steps[s.Supersedes].Target.ClusterID != s.Target.ClusterID {
				t.Fatalf("cycle %d step %d cancels a request for a credential of another cluster", n, i)
			}
			if again && (s.Supersedes < 0 || c.Steps[s.Supersedes].Target.Object() != o || s.Request != Delete) {
				t.Fatalf("cycle %d step %d: %s after %s on %s", n, i, s.Request, before, o)
			}
			if s.Supersedes >= i {
				t.Fatalf("cycle %d step %d supersedes step %d", n, i, s.Supersedes)
			}
			if s.Request != Create && s.Request != RequestCredential && !ready[o] && s.Supersedes < 0 {
				t.Fatalf("cycle %d step %d: %s of %s, which does not exist", n, i, s.Request, o)
			}
			if s.Target.Kind != Cluster && !ready[(Target{ClusterID: s.Target.ClusterID}).Object()] {
				t.Fatalf("cycle %d step %d: a child of a cluster that does not exist", n, i)
			}
			used[o] = s.Request
			names := []Named{s.Operation}
			targets := []Target{s.Target}
			for _, child := range s.Implicit {
				if !ready[child.Target.Object()] {
					t.Fatalf("cycle %d step %d: implicit delete of nothing", n, i)
				}
				names, targets = append(names, child.Operation), append(targets, child.Target)
			}
			for i := range names {
				k := key{s.Target.Subscription, operation{Target: targets[i], Named: names[i]}.documentID()}
				if documents[k] {
					t.Fatalf("two operations with document %v", k)
				}
				documents[k] = true
			}
		}
		if len(c.Steps) != 14 {
			t.Fatalf("cycle %d has %d steps", n, len(c.Steps))
		}
	}
}
