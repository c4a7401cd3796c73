package operations

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"opfeed/cs"
)

var start = time.Date(2026, 1, 9, 12, 0, 0, 0, time.UTC)

// nextCase is one row: what is asked at an age, after what was seen.
type nextCase struct {
	kind    cs.Kind
	request string
	stored  string
	state   string // "gone"; "none" = no status
	age     time.Duration
	seen    Seen
	want    string // status, "" = kept
	after   time.Duration
	visible bool
}

func (c nextCase) run() Decision {
	in := Input{Kind: c.kind, Request: c.request, Stored: c.stored, Start: start, Now: start.Add(c.age), Seen: c.seen}
	if in.Seen.First.IsZero() {
		in.Seen.First = in.Now
	}
	switch c.state {
	case "gone":
		in.Answer.Gone = true
	case "none":
	default:
		in.Answer.Status = cs.Status{State: c.state, HasStatus: true, ErrorCode: "OCM1", Message: "broken"}
	}
	return Next(DefaultConfig(), in)
}

func TestNextWithHistory(t *testing.T) {
	first := start.Add(time.Second)
	was := func(state string, more ...func(*Seen)) Seen {
		s := Seen{First: first, State: state, Exists: true}
		for _, f := range more {
			f(&s)
		}
		return s
	}
	uninstalling := func(s *Seen) { s.Uninstalling = true }
	moving := func(age time.Duration) func(*Seen) { return func(s *Seen) { s.Moving = start.Add(age) } }
	gone := func(age time.Duration) func(*Seen) { return func(s *Seen) { s.Gone = start.Add(age) } }
	settled := func(age time.Duration) func(*Seen) { return func(s *Seen) { s.Settled = start.Add(age) } }
	unseen := Seen{First: first, State: stateGone}
	const poll, confirm = 10 * time.Second, time.Second
	s := time.Second

	for name, c := range map[string]nextCase{
		// Update: what the first answers are worth.
		"update, still ready":              {cs.Cluster, Update, Accepted, "ready", 11 * s, was("ready"), "", poll, false},
		"update, look falls on settling":   {cs.Cluster, Update, Accepted, "ready", 25 * s, was("ready"), "", 6 * s, false},
		"update, settled once":             {cs.Cluster, Update, Accepted, "ready", 31 * s, was("ready"), "", confirm, false},
		"update, settled, asked too soon":  {cs.Cluster, Update, Accepted, "ready", 31*s + s/2, was("ready", settled(31*s)), "", s / 2, false},
		"update, settled twice":            {cs.Cluster, Update, Accepted, "ready", 32 * s, was("ready", settled(31*s)), Succeeded, poll, false},
		"update, old error settled twice":  {cs.Cluster, Update, Accepted, "error", 32 * s, was("error", settled(31*s)), Failed, poll, false},
		"update, old error":                {cs.Cluster, Update, Accepted, "error", 5 * s, was("error"), "", poll, false},
		"update, ready after updating":     {cs.Cluster, Update, Accepted, "ready", 21 * s, was("updating", moving(11*s)), "", confirm, false},
		"update, ready twice after it":     {cs.Cluster, Update, Accepted, "ready", 22 * s, was("ready", moving(11*s), settled(21*s)), Succeeded, poll, false},
		"update, ready after an early one": {cs.Cluster, Update, Updating, "ready", 21 * s, was("updating", moving(10*s)), "", poll, false},
		"update, an early one, settled":    {cs.Cluster, Update, Updating, "ready", 32 * s, was("ready", moving(10*s), settled(31*s)), Succeeded, poll, false},
		"update, ready right after it":     {cs.Cluster, Update, Updating, "ready", 24 * s, was("ready", moving(15*s)), "", s, false},
		"update, ready a look after it":    {cs.Cluster, Update, Updating, "ready", 25 * s, was("ready", moving(15*s)), "", confirm, false},
		"update, error right after it":     {cs.Cluster, Update, Updating, "error", 16 * s, was("error", moving(15*s)), "", 9 * s, false},
		"update, ready, stored updating":   {cs.Cluster, Update, Updating, "ready", 11 * s, Seen{First: first}, "", poll, false},
		"update, ready, taken over":        {cs.Cluster, Update, Updating, "ready", time.Hour, Seen{}, "", poll, false},
		"update, ready, stored provision":  {cs.Cluster, Update, Provisioning, "ready", 5 * s, Seen{}, "", poll, false},
		"update, error after ready":        {cs.Cluster, Update, Accepted, "error", 11 * s, was("ready"), "", poll, false},
		"update, error after updating":     {cs.NodePool, Update, Updating, "error", 22 * s, was("error", moving(11*s), settled(21*s)), Failed, poll, false},
		"update, unknown is no change":     {cs.Cluster, Update, Accepted, "waiting", 5 * s, was("ready"), "", poll, true},
		"update, pool pending is a change": {cs.NodePool, Update, Accepted, "ready", 22 * s, was("ready", moving(11*s), settled(21*s)), Succeeded, poll, false},
		"update, auth without status":      {cs.ExternalAuth, Update, Accepted, "none", 11 * s, was("ready"), "", poll, false},
		"update, auth settled":             {cs.ExternalAuth, Update, Accepted, "none", 40 * s, was("ready", settled(30*s)), Succeeded, poll, false},
		"update taken over late, once":     {cs.Cluster, Update, Accepted, "ready", time.Hour, Seen{}, "", poll, false},
		"update taken over, settled":       {cs.Cluster, Update, Accepted, "ready", time.Hour, Seen{State: "ready", First: start.Add(time.Hour - 31*s), Settled: start.Add(time.Hour - s)}, Succeeded, poll, false},
		"update, writes once":              {cs.Cluster, Update, Updating, "updating", 5 * s, was("ready"), "", poll, false},
		"update, gone and back":            {cs.Cluster, Update, Accepted, "ready", 11 * s, was("ready", gone(10*s)), "", poll, false},
		// Delete.
		"delete, ready":                      {cs.NodePool, Delete, Deleting, "ready", time.Hour, was("ready"), "", poll, false},
		"delete, ready after uninstalling":   {cs.NodePool, Delete, Deleting, "ready", time.Hour, was("ready", uninstalling), "", poll, false},
		"delete, old error":                  {cs.Cluster, Delete, Deleting, "error", time.Hour, was("error"), "", poll, false},
		"delete, error after ready":          {cs.Cluster, Delete, Deleting, "error", time.Hour, was("ready"), "", poll, false},
		"delete, error after uninstalling":   {cs.Cluster, Delete, Deleting, "error", time.Hour, was("error", uninstalling, settled(time.Hour-s)), Failed, poll, false},
		"delete, error right after it":       {cs.Cluster, Delete, Deleting, "error", 16 * s, was("error", uninstalling, moving(15*s)), "", poll, false},
		"delete, error half a minute later":  {cs.Cluster, Delete, Deleting, "error", 46 * s, was("error", uninstalling, moving(15*s), settled(45*s)), Failed, poll, false},
		"delete, old update":                 {cs.Cluster, Delete, Deleting, "updating", s, Seen{}, "", poll, false},
		"delete, uninstalling, stored so":    {cs.Cluster, Delete, Deleting, "uninstalling", s, Seen{}, "", poll, false},
		"delete, unseen, early":              {cs.Cluster, Delete, Deleting, "gone", 60 * s, unseen, "", poll, false},
		"delete, unseen, grace ends":         {cs.Cluster, Delete, Deleting, "gone", 115 * s, unseen, "", 5 * s, false},
		"delete, unseen, first of two":       {cs.Cluster, Delete, Deleting, "gone", 120 * s, unseen, "", confirm, false},
		"delete, unseen, second":             {cs.Cluster, Delete, Deleting, "gone", 121 * s, Seen{First: first, Gone: start.Add(120 * s)}, Succeeded, poll, false},
		"delete, seen, first of two":         {cs.Cluster, Delete, Deleting, "gone", 3 * s, was("uninstalling"), "", confirm, false},
		"delete, seen, second too soon":      {cs.Cluster, Delete, Deleting, "gone", 3*s + s/4, was("uninstalling", gone(3*s)), "", s * 3 / 4, false},
		"delete, seen, second":               {cs.Cluster, Delete, Deleting, "gone", 4 * s, was("uninstalling", gone(3*s)), Succeeded, poll, false},
		"delete, gone, taken over late":      {cs.Cluster, Delete, Deleting, "gone", time.Hour, Seen{}, "", confirm, false},
		"delete, unseen, clock behind":       {cs.Cluster, Delete, Deleting, "gone", 190 * s, Seen{First: start.Add(181 * s), Written: start.Add(180 * s)}, "", poll, false},
		"delete, unseen, stored, grace ends": {cs.Cluster, Delete, Deleting, "gone", 297 * s, Seen{First: start.Add(181 * s), Written: start.Add(180 * s)}, "", 3 * s, false},
		"delete, unseen, stored before":      {cs.Cluster, Delete, Deleting, "gone", 121 * s, Seen{First: first, Written: start.Add(-s), Gone: start.Add(120 * s)}, Succeeded, poll, false},
		"delete, unseen, database ahead":     {cs.Cluster, Delete, Deleting, "gone", 121 * s, Seen{First: first, Written: start.Add(time.Hour)}, "", confirm, false},
		"delete of a settled auth":           {cs.ExternalAuth, Delete, Deleting, "none", time.Hour, was("ready"), "", poll, false},
		"create, gone for good":              {cs.Cluster, Create, Provisioning, "gone", 10 * s, was("installing", gone(3*s)), "", poll, true},
		"update, gone for good":              {cs.Cluster, Update, Updating, "gone", 10 * s, was("updating", gone(3*s)), "", poll, true},
		"create, not there yet":              {cs.Cluster, Create, Accepted, "gone", 3 * s, unseen, "", poll, false},
		"create, recoverable error for ever": {cs.NodePool, Create, Provisioning, "recoverable_error", 9 * time.Hour, was("installing"), "", poll, false},
		"update, front end's clock behind":   {cs.Cluster, Update, Accepted, "ready", 10 * time.Minute, Seen{First: start.Add(10*time.Minute - 2*s), Settled: start.Add(10*time.Minute - s)}, "", poll, false},
		// Clocks: a start that lies after the first look, or long before it, is
		// replaced by the first look.
		"start in the future":      {cs.Cluster, Update, Accepted, "ready", -10 * s, Seen{First: start.Add(-30 * s)}, "", poll, false},
		"start in the future, old": {cs.Cluster, Update, Accepted, "ready", 2 * s, Seen{State: "ready", First: start.Add(-30 * s), Settled: start}, Succeeded, poll, false},
		"absurd start":             {cs.Cluster, Update, Accepted, "ready", 100 * 24 * time.Hour, Seen{}, "", poll, false},
		"absurd start, gone":       {cs.Cluster, Delete, Deleting, "gone", 100 * 24 * time.Hour, Seen{}, "", poll, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := c.run()
			if d.Status != c.want || d.After != c.after || d.Visible != c.visible {
				t.Errorf("have %q after %v visible %v (%s), want %q after %v visible %v",
					d.Status, d.After, d.Visible, d.Reason, c.want, c.after, c.visible)
			}
			if d.Erase != (c.want == Succeeded && c.request == Delete) {
				t.Errorf("erase is %v", d.Erase)
			}
		})
	}
}

// TestNextNeverEndsADeleteByReady asks a long random-looking walk of answers.
func TestNextNeverEndsADeleteByReady(t *testing.T) {
	states := []string{"ready", "updating", "uninstalling", "waiting", "gone", "installing", "none"}
	for _, kind := range []cs.Kind{cs.Cluster, cs.NodePool, cs.ExternalAuth} {
		for seed := range 500 {
			seen, age := Seen{}, time.Second
			for i := range 20 {
				state := states[(seed>>(i%8)+i*seed)%len(states)]
				d := nextCase{kind: kind, request: Delete, stored: Deleting, state: state, age: age, seen: seen}.run()
				if terminal(d.Status) && state != "gone" {
					t.Fatalf("%s ended as %s by %s", kind, d.Status, state)
				}
				seen, age = d.Seen, age+d.After
				if seen.First.IsZero() {
					t.Fatal("first look forgotten")
				}
			}
		}
	}
}

// TestGoneMustBeSeenTwiceInARow: an answer in between starts the count again.
func TestGoneMustBeSeenTwiceInARow(t *testing.T) {
	seen, age := Seen{}, time.Second
	for i, state := range []string{"uninstalling", "gone", "uninstalling", "gone", "waiting", "gone"} {
		d := nextCase{kind: cs.Cluster, request: Delete, stored: Deleting, state: state, age: age, seen: seen}.run()
		if d.Status != "" {
			t.Fatalf("look %d: have %s", i, d.Status)
		}
		seen, age = d.Seen, age+5*time.Second
	}
	if d := (nextCase{kind: cs.Cluster, request: Delete, stored: Deleting, state: "gone", age: age, seen: seen}).run(); d.Status != Succeeded {
		t.Errorf("have %+v", d)
	}
}

func TestClip(t *testing.T) {
	text := "aéüx"
	for n := range 8 {
		if have := clip(text, n); !strings.HasPrefix(text, have) || len(have) > n || strings.Contains(fmt.Sprintf("%q", have), `\x`) {
			t.Errorf("clip to %d: %q", n, have)
		}
	}
}
