package leases

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPlan(t *testing.T) {
	now := time.Now()
	const expiry = 10 * time.Second
	self := Self{Instance: "me", StartID: "S1"}
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
		"free, resting":              {Observed{Document: free, Since: now, NotBefore: now.Add(1)}, false},
		"free, rested":               {Observed{Document: free, Since: now, NotBefore: now}, true},
		"peer's":                     {Observed{Document: peers, Since: now}, false},
		"peer's, just not expired":   {Observed{Document: peers, Since: now.Add(-expiry + 1)}, false},
		"peer's, expired":            {Observed{Document: peers, Since: now.Add(-expiry)}, true},
		"peer's, expired, resting":   {Observed{Document: peers, Since: now.Add(-expiry), NotBefore: now.Add(time.Hour)}, false},
		"peer's, expired, vanished":  {Observed{Document: peers, Since: now.Add(-expiry), Vanished: true}, false},
		"twin's":                     {Observed{Document: twins, Since: now}, false},
		"twin's, expired":            {Observed{Document: twins, Since: now.Add(-expiry)}, true},
		"without a start id":         {Observed{Document: dotnets, Since: now}, false},
		"orphan":                     {Observed{Document: orphan, Since: now}, true},
		"mine":                       {Observed{Document: orphan, Since: now.Add(-time.Hour), Held: true}, false},
		"version 1, free":            {Observed{Document: epk, Since: now.Add(-time.Hour)}, false},
		"unreadable":                 {Observed{Document: odd, Since: now.Add(-time.Hour)}, false},
		"peer's clock is of no use":  {Observed{Document: Document{ID: "x", Owner: "o", Timestamp: now.Add(-time.Hour)}, Since: now}, false},
		"peer's clock is far ahead,": {Observed{Document: Document{ID: "x", Owner: "o", Timestamp: now.Add(time.Hour)}, Since: now.Add(-expiry)}, true},
	} {
		want := []string{}
		if test.take {
			want = append(want, test.seen.Document.ID)
		}
		if got := Plan(now, self, []Observed{test.seen}, expiry); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	all := []Observed{{Document: orphan, Since: now}, {Document: peers, Since: now}, {Document: free, Since: now}, {Document: free, Since: now}}
	if got := Plan(now, self, all, expiry); !slices.Equal(got, []string{"free", "orphan"}) {
		t.Errorf("several: %v", got)
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
	b := newBackoff(100*time.Millisecond, time.Second)
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
