package leases

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var planExpiry = 10 * time.Second

func TestPlan(t *testing.T) {
	now := time.Now()
	self := Host{Instance: "me", StartID: "S1"}
	free := Document{ID: "free"}
	peers := Document{ID: "peer", Owner: "other", StartID: "S9", Epoch: 4}
	twins := Document{ID: "twin", Owner: "me", StartID: "S0"}
	orphan := Document{ID: "orphan", Owner: "me", StartID: "S1"}
	dotnets := Document{ID: "dotnet", Owner: "me"}
	epk := Document{ID: "epk", Version: VersionEPK}
	odd := Document{ID: "odd", Version: Unreadable}
	for name, test := range map[string]struct {
		seen Observed
		take bool
	}{
		"free":                       {Observed{Document: free, Since: now}, true},
		"free, held":                 {Observed{Document: free, Since: now, Held: true}, false},
		"free, vanished":             {Observed{Document: free, Since: now, Vanished: true}, false},
		"free, outdated":             {Observed{Document: free, Since: now, Outdated: true}, true},
		"free, resting":              {Observed{Document: free, Since: now, NotBefore: now.Add(1)}, false},
		"free, rested":               {Observed{Document: free, Since: now, NotBefore: now}, true},
		"peer's":                     {Observed{Document: peers, Since: now}, false},
		"peer's, outdated":           {Observed{Document: peers, Since: now, Outdated: true}, false},
		"peer's, just not expired":   {Observed{Document: peers, Since: now.Add(-planExpiry + 1)}, false},
		"peer's, expired":            {Observed{Document: peers, Since: now.Add(-planExpiry)}, true},
		"peer's, expired, resting":   {Observed{Document: peers, Since: now.Add(-planExpiry), NotBefore: now.Add(time.Hour)}, false},
		"peer's, expired, vanished":  {Observed{Document: peers, Since: now.Add(-planExpiry), Vanished: true}, false},
		"twin's":                     {Observed{Document: twins, Since: now}, false},
		"twin's, expired":            {Observed{Document: twins, Since: now.Add(-planExpiry)}, true},
		"without a start id":         {Observed{Document: dotnets, Since: now}, false},
		"orphan":                     {Observed{Document: orphan, Since: now}, true},
		"mine":                       {Observed{Document: orphan, Since: now.Add(-time.Hour), Held: true}, false},
		"version 1, free":            {Observed{Document: epk, Since: now}, true},
		"unreadable":                 {Observed{Document: odd, Since: now.Add(-time.Hour)}, false},
		"peer's clock is of no use":  {Observed{Document: Document{ID: "x", Owner: "o", Timestamp: now.Add(-time.Hour)}, Since: now}, false},
		"peer's clock is far ahead,": {Observed{Document: Document{ID: "x", Owner: "o", Timestamp: now.Add(time.Hour)}, Since: now.Add(-planExpiry)}, true},
	} {
		test.seen.Patience = planExpiry
		got := Plan(now, self, nil, []Observed{test.seen})
		if len(got.Take) > 1 || slices.Contains(got.Take, test.seen.Document.ID) != test.take || len(got.Request)+len(got.HandOver) > 0 {
			t.Errorf("%s: %+v, want it taken: %v", name, got, test.take)
		}
	}
}

// share is a cluster as one host sees it: how many leases each other host has,
// and this one, and how many are free and expired.
type share struct {
	others        []int
	mine          int
	free, expired int
	age           time.Duration // of those that are free or expired, beyond that
	leaving       int           // of the others, the first that leave
}

func (s share) seen(now time.Time) (hosts []Host, seen []Observed) {
	add := func(d Document, age time.Duration, held bool) {
		d.ID = fmt.Sprintf("p..%d", len(seen))
		seen = append(seen, Observed{Document: d, Since: now.Add(-age), Patience: planExpiry, Held: held})
	}
	for i, n := range s.others {
		id := fmt.Sprintf("H%d", i)
		if n == 0 {
			hosts = append(hosts, Host{id, id})
		}
		for range n {
			d := Document{Owner: id, StartID: id}
			if i < s.leaving {
				d.Offer = Host{"H9", "H9"}.String()
			}
			add(d, 0, false)
		}
	}
	for range s.mine {
		add(Document{Owner: "me", StartID: "S1"}, 0, true)
	}
	for range s.free {
		add(Document{}, s.age, false)
	}
	for range s.expired {
		add(Document{Owner: "dead", StartID: "D"}, planExpiry+s.age, false)
	}
	return hosts, seen
}

func TestPlanShares(t *testing.T) {
	now, self := time.Now(), Host{Instance: "me", StartID: "S1"}
	for name, test := range map[string]struct {
		share
		take, request int
	}{
		"alone":                             {share{free: 8}, 8, 0},
		"alone, expired":                    {share{expired: 3, free: 2}, 5, 0},
		"two start together":                {share{others: []int{0}, free: 8}, 4, 0},
		"two start together, odd":           {share{others: []int{0}, free: 7}, 4, 0},
		"more hosts than leases":            {share{others: []int{0, 0, 0}, free: 2}, 1, 0},
		"nobody takes what is left":         {share{others: []int{0}, mine: 4, free: 4, age: planExpiry}, 4, 0},
		"nobody takes what has expired":     {share{others: []int{0}, mine: 4, expired: 4, age: planExpiry}, 4, 0},
		"others are about to take the rest": {share{others: []int{0}, mine: 4, expired: 4}, 0, 0},
		"one has all":                       {share{others: []int{8}}, 0, 4},
		"one has all, three hosts":          {share{others: []int{8, 0}}, 0, 3},
		"one has one too many":              {share{others: []int{3, 1}, mine: 1}, 0, 0}, // 2 is a share, too: the other of one may ask
		"one has two too many":              {share{others: []int{4, 1}, mine: 1}, 0, 1},
		"as even as can be":                 {share{others: []int{3, 3}, mine: 2}, 0, 0},
		"one lease, two hosts":              {share{others: []int{1}}, 0, 0},
		"two leases of one, two hosts":      {share{others: []int{2}}, 0, 1},
		"free ones come first":              {share{others: []int{6}, free: 2}, 2, 2},
		"who leaves is not asked":           {share{others: []int{4, 2}, mine: 2, leaving: 1}, 0, 0},
	} {
		hosts, seen := test.seen(now)
		got := Plan(now, self, hosts, seen)
		if name == "one has one too many" { // five of three hosts: one or two each
			test.request = 1
		}
		if len(got.Take) != test.take || len(got.Request) != test.request || len(got.HandOver) != 0 {
			t.Errorf("%s: %+v, want %d taken and %d asked for", name, got, test.take, test.request)
		}
		slices.Reverse(seen)
		if again := Plan(now, self, hosts, seen); !reflect.DeepEqual(got, again) {
			t.Errorf("%s: the order makes a difference: %+v, %+v", name, got, again)
		}
	}
}

// Whatever the start, hosts that do what Plan says share equally after a few
// rounds, and then ask for nothing more.
func TestPlanSettles(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		now := time.Now()
		hosts := make([]Host, 1+rng.IntN(5))
		for i := range hosts {
			hosts[i] = Host{fmt.Sprintf("h%d", i), fmt.Sprintf("S%d-%d", i, seed)}
		}
		docs := make([]Document, rng.IntN(20))
		for i := range docs {
			docs[i] = Document{ID: fmt.Sprint("p..", i)}
			if n := rng.IntN(len(hosts) + 1); n < len(hosts) {
				docs[i].Owner, docs[i].StartID = hosts[n].Instance, hosts[n].StartID
			}
			if rng.IntN(3) == 0 {
				docs[i].Request = hosts[rng.IntN(len(hosts))].String()
			}
		}
		moved := 0
		for range 6 {
			moved = 0
			for _, h := range hosts {
				var seen []Observed
				for _, d := range docs {
					seen = append(seen, Observed{Document: d, Since: now, Patience: planExpiry, Held: d.StartID == h.StartID})
				}
				moves := Plan(now, h, hosts, seen)
				for i, d := range docs {
					switch to, given := moves.HandOver[d.ID]; {
					case given:
						docs[i].Owner, docs[i].StartID, docs[i].Request = to.Instance, to.StartID, ""
						moved++
					case slices.Contains(moves.Take, d.ID):
						if d.Owner != "" {
							t.Fatalf("seed %d: %s takes what %s has", seed, h.Instance, d.Owner)
						}
						docs[i].Owner, docs[i].StartID, docs[i].Request = h.Instance, h.StartID, ""
						moved++
					case slices.Contains(moves.Request, d.ID):
						docs[i].Request = h.String()
						moved++
					}
				}
			}
		}
		count := map[string]int{}
		for _, d := range docs {
			count[d.StartID]++
		}
		for _, h := range hosts {
			if n := count[h.StartID]; n < len(docs)/len(hosts) || n > (len(docs)+len(hosts)-1)/len(hosts) {
				t.Errorf("seed %d: %d leases, shared out as %v", seed, len(docs), count)
				break
			}
		}
		if moved > 0 {
			t.Errorf("seed %d: it never comes to rest", seed)
		}
	}
}

func TestPlanHandsOver(t *testing.T) {
	now, self := time.Now(), Host{Instance: "me", StartID: "S1"}
	asked := func(s share, by string, n int) ([]Host, []Observed) {
		hosts, seen := s.seen(now)
		for i := range seen {
			if seen[i].Held && n > 0 {
				seen[i].Document.Request = by
				n--
			}
		}
		return hosts, seen
	}
	for name, test := range map[string]struct {
		share
		by   string
		asks int
		want int
	}{
		"all it has too many":      {share{others: []int{0}, mine: 8}, Host{"H0", "H0"}.String(), 4, 4},
		"no more than its share":   {share{others: []int{0}, mine: 8}, Host{"H0", "H0"}.String(), 8, 4},
		"the other has enough":     {share{others: []int{4}, mine: 4}, Host{"H0", "H0"}.String(), 1, 0},
		"the other has one less":   {share{others: []int{3}, mine: 4}, Host{"H0", "H0"}.String(), 1, 0 + 1},
		"nobody knows who asks":    {share{others: []int{0}, mine: 8}, Host{"H7", "H7"}.String(), 4, 0},
		"it asks itself":           {share{others: []int{0}, mine: 8}, "S1 me", 4, 0},
		"a third asks":             {share{others: []int{0, 0}, mine: 6}, Host{"H1", "H1"}.String(), 3, 2},
		"the other is about to go": {share{others: []int{1}, mine: 8, leaving: 1}, Host{"H0", "H0"}.String(), 2, 0},
	} {
		hosts, seen := asked(test.share, test.by, test.asks)
		got := Plan(now, self, hosts, seen).HandOver
		if len(got) != test.want {
			t.Errorf("%s: %v, want %d", name, got, test.want)
		}
		for _, h := range got {
			if h.String() != test.by {
				t.Errorf("%s: handed over to %v", name, h)
			}
		}
	}
	hosts, seen := share{others: []int{1, 0}, mine: 5}.seen(now)
	offers, count := Offers(now, self, hosts, seen, nil), map[string]int{}
	for _, h := range offers {
		count[h.StartID]++
	}
	if len(offers) != 5 || count["H0"] != 2 || count["H1"] != 3 {
		t.Errorf("offers %v", offers)
	}
	// What was offered stays so while that host does.
	offers = map[string]Host{"p..1": {"H0", "H0"}, "p..2": {"H0", "H0"}, "p..3": {"H0", "H0"}, "p..4": {"gone", "gone"}}
	again := Offers(now, self, hosts, seen, offers)
	for _, id := range []string{"p..1", "p..2", "p..3"} {
		if again[id] != offers[id] {
			t.Errorf("%s was offered to %v, and then to %v", id, offers[id], again[id])
		}
	}
	if len(again) != 5 || again["p..4"].StartID != "H1" {
		t.Errorf("offers %v", again)
	}
	if hosts, seen := (share{mine: 5}).seen(now); len(Offers(now, self, hosts, seen, nil)) != 0 {
		t.Error("something is offered to nobody")
	}
	// A request of somebody unknown stands for a while: it may be new.
	for age, want := range map[time.Duration]int{0: 0, planExpiry - 1: 0, planExpiry: 1} {
		asked := []Observed{{Document: Document{ID: "p..1", Owner: "H0", StartID: "H0", Request: Host{"H7", "H7"}.String()}, Since: now, Patience: planExpiry, Asked: now.Add(-age)},
			{Document: Document{ID: "p..2", Owner: "H0", StartID: "H0", Request: Host{"H7", "H7"}.String()}, Since: now, Patience: planExpiry, Asked: now.Add(-age)}}
		if got := Plan(now, self, nil, asked); len(got.Request) != want {
			t.Errorf("asked by somebody unknown %s ago: %+v", age, got)
		}
	}
	// Who is offered something asks for it, share or not.
	offered := []Observed{{Document: Document{ID: "p..1", Owner: "H0", StartID: "H0", Offer: self.String()}, Since: now, Patience: planExpiry},
		{Document: Document{ID: "p..2", Owner: "me", StartID: "S1"}, Since: now, Patience: planExpiry, Held: true}}
	if got := Plan(now, self, nil, offered); !slices.Equal(got.Request, []string{"p..1"}) {
		t.Errorf("offered: %+v", got)
	}
}

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Fatal(err)
	}
	err := Config{}.Validate()
	for _, name := range []string{"ACQUIRE_INTERVAL", "RENEW_INTERVAL", "EXPIRY", "MARGIN", "CHECKPOINT_INTERVAL", "CALL_TIMEOUT"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not in %v", name, err)
		}
	}
	short := DefaultConfig()
	short.Expiry = 5 * time.Second
	if err := short.Validate(); err == nil || !strings.Contains(err.Error(), "EXPIRY") {
		t.Errorf("expiry of two renewals less margin: %v", err)
	}
	slow := DefaultConfig()
	slow.CallTimeout = 9 * time.Second
	if err := slow.Validate(); err == nil || !strings.Contains(err.Error(), "CALL_TIMEOUT") {
		t.Errorf("calls longer than the window: %v", err)
	}
	rare := DefaultConfig()
	rare.AcquireInterval = 4 * time.Second
	if err := rare.Validate(); err == nil || !strings.Contains(err.Error(), "twice ACQUIRE_INTERVAL (12s)") {
		t.Errorf("hosts without a lease are not seen in time: %v", err)
	}
}

func TestSessions(t *testing.T) {
	var s sessions
	if s.all() != nil {
		t.Error("a token before any write")
	}
	for _, token := range []string{"1:-1#7", "0:-1#20#1=4", "0:-1#19#1=4", "nonsense", "", "1:-1#9", "1:8"} {
		s.saw(&token)
	}
	if got := s.all(); got == nil || *got != "0:-1#20#1=4,1:-1#9" {
		t.Errorf("token %v", got)
	}
	s.forget()
	if s.all() != nil {
		t.Error("a token after forget")
	}
}

func TestBackoff(t *testing.T) {
	b := (&Manager{chance: seeded(1, "a")}).backoff(100*time.Millisecond, time.Second)
	for _, ms := range []int{100, 200, 400, 800, 1000, 1000} {
		most := time.Duration(ms) * time.Millisecond
		if got := b.next(errors.New("x")); got < most/2 || got > most {
			t.Errorf("wait %s, want %s to %s", got, most/2, most)
		}
	}
	b.reset()
	if got := b.next(nil); got > 100*time.Millisecond {
		t.Errorf("wait after a reset %s", got)
	}
}
