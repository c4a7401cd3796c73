package fault

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Rules are the faults of one server, in the order in which they were added.
// They are safe for concurrent use.
type Rules[E Effects] struct {
	attributes []string

	any  atomic.Bool // whether there are rules: most servers have none
	mu   sync.Mutex
	list []*counted[E]
}

type counted[E Effects] struct {
	Rule[E]
	since         time.Time
	rng           *rand.Rand
	matched, hits int
}

// Report is a rule and what came of it.
type Report[E Effects] struct {
	Rule[E]
	// Matched is how many requests the rule was for while it lasted, Hits how
	// many of them it fired for.
	Matched int `json:"matched"`
	Hits    int `json:"hits"`
}

// New returns no rules, for a server whose requests have these attributes.
func New[E Effects](attributes ...string) *Rules[E] {
	return &Rules[E]{attributes: attributes}
}

// Add puts a rule into force, from now on. Its error names everything that is
// wrong with it.
func (r *Rules[E]) Add(rule Rule[E]) error {
	if err := r.validate(rule); err != nil {
		return fmt.Errorf("add rule %q: %w", rule.Name, err)
	}
	name := fnv.New64a()
	name.Write([]byte(rule.Name))
	c := &counted[E]{Rule: rule, since: time.Now(), rng: rand.New(rand.NewPCG(rule.When.Seed, name.Sum64()))}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(rule.Name)
	r.list = append(r.list, c)
	r.any.Store(true)
	return nil
}

func (r *Rules[E]) validate(rule Rule[E]) error {
	errs := []error{rule.When.validate(), rule.Effect.HTTP().validate(), rule.Effect.Validate()}
	if rule.Name == "" {
		errs = append(errs, errors.New("it needs a name"))
	}
	for name := range rule.Match {
		if !slices.Contains(r.attributes, name) {
			errs = append(errs, fmt.Errorf("match has %q: there are %s", name, strings.Join(r.attributes, ", ")))
		}
	}
	return errors.Join(errs...)
}

// Remove takes a rule out of force. It reports whether there was one.
func (r *Rules[E]) Remove(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.remove(name)
}

func (r *Rules[E]) remove(name string) bool {
	before := len(r.list)
	r.list = slices.DeleteFunc(r.list, func(c *counted[E]) bool { return c.Name == name })
	r.any.Store(len(r.list) > 0)
	return len(r.list) < before
}

// Clear takes all rules out of force.
func (r *Rules[E]) Clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = nil
	r.any.Store(false)
}

// Reports returns the rules with their counts.
func (r *Rules[E]) Reports() []Report[E] {
	r.mu.Lock()
	defer r.mu.Unlock()
	reports := make([]Report[E], len(r.list))
	for i, c := range r.list {
		reports[i] = Report[E]{c.Rule, c.matched, c.hits}
	}
	return reports
}

// Longest returns the longest of a duration that effects have, in force or not
// yet or not any more; 0 if there are no rules.
func (r *Rules[E]) Longest(of func(E) Duration) Duration {
	if !r.any.Load() {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	longest := Duration(0)
	for _, c := range r.list {
		longest = max(longest, of(c.Effect))
	}
	return longest
}

// Hit is a rule that fired for a request.
type Hit[E Effects] struct {
	Rule   string
	Effect E
	// Seed is the rule's: what an effect leaves to chance for all its hits alike
	// follows from it.
	Seed uint64
	// Chance belongs to this hit: what an effect leaves to chance follows from
	// it. It is from 0 to below 1.
	Chance float64
}

// Fire counts a request and returns what hits it, in the order of the rules.
func (r *Rules[E]) Fire(of func(attribute string) string) []Hit[E] {
	if !r.any.Load() {
		return nil
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	var hits []Hit[E]
	for _, c := range r.list {
		if c.lasts(now) && c.Match.matches(of) && c.fires() {
			hits = append(hits, Hit[E]{c.Name, c.Effect, c.When.Seed, c.rng.Float64()})
		}
	}
	return hits
}

func (c *counted[E]) lasts(now time.Time) bool {
	age := Duration(now.Sub(c.since)) - c.When.Delay
	return age >= 0 && (c.When.For == 0 || age < c.When.For)
}

// fires counts a match and decides whether it is hit.
func (c *counted[E]) fires() bool {
	c.matched++
	w := &c.When
	switch {
	case c.matched <= w.After, w.Times > 0 && c.hits >= w.Times:
		return false
	case w.Probability > 0 && c.rng.Float64() >= w.Probability:
		return false
	}
	c.hits++
	return true
}
