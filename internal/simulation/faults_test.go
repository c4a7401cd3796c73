package simulation_test

import (
	"hash/fnv"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/fault"
)

// effect is what happens to one request: what any server can do, and what the
// emulated account does itself, by a rule that is for the clients of that name.
type effect struct {
	fault.Effect
	substatus int
	agent     string        // a rule of the account hits the clients of this name
	late      time.Duration // it arrives that late, whether or not its client still waits
	twice     bool          // a proxy sends it twice
}

// trouble is an effect and the kinds of request that it is for; nil is all.
type trouble struct {
	name   string
	kinds  []string
	effect effect
}

// spell is a set of troubles of which one at a time hits a request. where: of
// which server.
type spell struct {
	name     string
	where    string
	hang     bool // it keeps its target from answering at all
	troubles []trouble
}

const (
	ofCosmos = "cosmos"
	ofCS     = "cs"
	second   = fault.Duration(time.Second)
)

var (
	writes = []string{"create", "replace", "upsert", "patch", "delete", "batch"}
	reads  = []string{"read", "query"}
	feeds  = []string{"feed"}
)

func status(code, substatus int) effect {
	return effect{Effect: fault.Effect{Status: code}, substatus: substatus}
}

func reply(r fault.Reply, applied bool) effect {
	return effect{Effect: fault.Effect{Reply: r, Applied: applied}}
}

// spells are what may be wrong with a server for a while.
var spells = []spell{
	{"ambiguous", ofCosmos, false, []trouble{
		{"reply lost", writes, reply(fault.Reset, true)},
		{"refused, applied", writes, effect{Effect: fault.Effect{Status: http.StatusServiceUnavailable, Applied: true}}},
		{"hangs, applied", writes, reply(fault.Hang, true)},
		{"reset", nil, reply(fault.Reset, false)},
	}},
	{"throttled", ofCosmos, false, []trouble{
		{"429", nil, effect{Effect: fault.Effect{Status: http.StatusTooManyRequests, Header: map[string]string{"x-ms-retry-after-ms": "300"}}, substatus: 3200}},
		{"429 without a time", nil, status(http.StatusTooManyRequests, 3200)},
		{"449", writes, status(449, 0)},
	}},
	{"unwell", ofCosmos, false, []trouble{
		{"503", nil, status(http.StatusServiceUnavailable, 0)},
		{"500", nil, status(http.StatusInternalServerError, 0)},
		{"408", nil, status(http.StatusRequestTimeout, 0)},
		{"404/1002", reads, status(http.StatusNotFound, 1002)},
		{"410/1007", feeds, status(http.StatusGone, 1007)},
		{"410/1008", feeds, status(http.StatusGone, 1008)},
		{"403/3", writes, status(http.StatusForbidden, 3)},
	}},
	{"slow", ofCosmos, false, []trouble{
		{"slow", nil, effect{Effect: fault.Effect{Before: second / 2, Jitter: 2 * second}}},
		{"late reply", nil, effect{Effect: fault.Effect{After: second / 2, Jitter: 2 * second}}},
		{"hangs", nil, reply(fault.Hang, false)},
		{"cut", nil, reply(fault.Cut, false)},
	}},
	{"late", ofCosmos, false, []trouble{
		{"late", writes, effect{late: 3 * time.Second}},
		{"very late", writes, effect{late: 14 * time.Second}},
		{"twice", writes, effect{twice: true}},
	}},
	{"stale", ofCosmos, false, []trouble{
		{"stale", reads, effect{agent: "stale"}},
		{"feed late", feeds, effect{agent: "feed-late"}},
		{"feed repeats", feeds, effect{agent: "feed-repeats"}},
		{"feed silent", feeds, effect{agent: "feed-silent"}},
		{"touched", writes, effect{agent: "touched"}},
	}},
	{"lying", ofCosmos, false, []trouble{
		{"feed skips", feeds, effect{agent: "feed-skips"}},
		{"412", writes, status(http.StatusPreconditionFailed, 0)},
		{"short", nil, reply(fault.Short, false)},
	}},
	{"lagging", ofCosmos, false, []trouble{{"stale", reads, effect{agent: "stale"}}}},
	{"hung", ofCosmos, true, []trouble{{"feed hangs", feeds, reply(fault.Hang, false)}}},
	{"away", ofCosmos, true, []trouble{
		{"503", nil, status(http.StatusServiceUnavailable, 0)},
		{"hangs", nil, reply(fault.Hang, false)},
		{"reset", nil, reply(fault.Reset, false)},
	}},
	{"cs unwell", ofCS, false, []trouble{
		{"cs 503", nil, status(http.StatusServiceUnavailable, 0)},
		{"cs 429", nil, effect{Effect: fault.Effect{Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "3"}}}},
		{"cs 500", nil, status(http.StatusInternalServerError, 0)},
		{"cs reset", nil, reply(fault.Reset, false)},
		{"cs cut", nil, reply(fault.Cut, false)},
	}},
	{"cs slow", ofCS, false, []trouble{
		{"cs slow", nil, effect{Effect: fault.Effect{Before: second, Jitter: 6 * second}}},
		{"cs hangs", nil, reply(fault.Hang, false)},
	}},
	{"cs away", ofCS, true, []trouble{
		{"cs 503", nil, status(http.StatusServiceUnavailable, 0)},
		{"cs hangs", nil, reply(fault.Hang, false)},
	}},
}

// accountRules are the effects that only the account can have. They hit the
// clients that a spell has given their name.
func accountRules(seed uint64) []cosmosemu.Fault {
	rule := func(agent string, e cosmosemu.Effect) cosmosemu.Fault {
		return cosmosemu.Fault{Name: agent, Match: fault.Match{"agent": agent}, When: fault.When{Seed: seed}, Effect: e}
	}
	return []cosmosemu.Fault{
		rule("stale", cosmosemu.Effect{Stale: 10 * second}),
		rule("feed-late", cosmosemu.Effect{FeedDelay: 15 * second}),
		rule("feed-repeats", cosmosemu.Effect{Feed: cosmosemu.FeedRepeat}),
		rule("feed-silent", cosmosemu.Effect{Feed: cosmosemu.FeedSilent}),
		rule("feed-skips", cosmosemu.Effect{Feed: cosmosemu.FeedSkip}),
		rule("touched", cosmosemu.Effect{Touch: true}),
	}
}

// weather is which spells there are now.
type weather struct {
	seed uint64

	mu     sync.Mutex
	spells []*casting
	counts map[string]int
	hits   map[string]int // by trouble
}

// casting is a spell on one replica, or on all.
type casting struct {
	spell
	who  int // number of the replica; 0: all
	part float64
}

func newWeather(seed uint64) *weather {
	return &weather{seed: seed, counts: map[string]int{}, hits: map[string]int{}}
}

func (w *weather) cast(name string, who int, part float64) *casting {
	i := slices.IndexFunc(spells, func(s spell) bool { return s.name == name })
	c := &casting{spells[i], who, part}
	if c.hang {
		c.part = 1
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spells = append(w.spells, c)
	return c
}

func (w *weather) end(c *casting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spells = slices.DeleteFunc(w.spells, func(o *casting) bool { return o == c })
}

// draw says what hits a request of a replica. It follows from the seed, from who
// asks for what, and from how often that was asked before, and not from what
// others ask for meanwhile.
func (w *weather) draw(where string, who int, kind, what string) (e effect, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if who == 0 || len(w.spells) == 0 {
		return effect{}, ""
	}
	id := strings.Join([]string{where, string(rune('0' + who)), kind, what}, "\x00")
	n := w.counts[id]
	w.counts[id]++
	for i, c := range w.spells {
		if c.where != where || c.who != 0 && c.who != who {
			continue
		}
		if chance(w.seed, id, n, i) >= c.part {
			continue
		}
		var fitting []trouble
		for _, t := range c.troubles {
			if t.kinds == nil || slices.Contains(t.kinds, kind) {
				fitting = append(fitting, t)
			}
		}
		if len(fitting) == 0 {
			continue
		}
		t := fitting[int(chance(w.seed, id, n, i+100)*float64(len(fitting)))]
		e = t.effect
		jitter := fault.Duration(chance(w.seed, id, n, i+200) * float64(e.Jitter))
		e.Jitter = 0
		if e.Before > 0 {
			e.Before += jitter
		}
		if e.After > 0 {
			e.After += jitter
		}
		w.hits[t.name]++
		return e, t.name
	}
	return effect{}, ""
}

func (w *weather) total() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, hits := range w.hits {
		n += hits
	}
	return n
}

// chance is from 0 to below 1.
func chance(seed uint64, id string, n, salt int) float64 {
	h := fnv.New64a()
	var b [24]byte
	for i, v := range []uint64{seed, uint64(n), uint64(salt)} {
		for j := range 8 {
			b[8*i+j] = byte(v >> (8 * j))
		}
	}
	h.Write(b[:])
	h.Write([]byte(id))
	x := h.Sum64() // its low bits are good, its high ones need a stir
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return float64(x>>11) / (1 << 53)
}
