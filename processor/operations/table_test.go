package operations

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"opfeed/cs"
)

// sheet is one table of docs/operations.md: its head, and its rows.
type sheet struct {
	head []string
	rows [][]string
}

func sheets(t *testing.T) []sheet {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var list []sheet
	in := false
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "|") {
			in = false
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case !in:
			list = append(list, sheet{head: cells})
			in = true
		case strings.Trim(cells[0], "-") != "":
			last := &list[len(list)-1]
			last.rows = append(last.rows, cells)
		}
	}
	return list
}

// subjects are what rows of states are about.
var subjects = map[string]cs.Kind{
	"cluster": cs.Cluster, "node pool": cs.NodePool, "external auth": cs.ExternalAuth,
	"credential": cs.BreakGlassCredential, "all credentials": cs.Cluster,
}

// answersOf are the answers that a row's cell of states stands for.
func answersOf(t *testing.T, cell string) map[string]Answer {
	t.Helper()
	list := map[string]Answer{}
	cell, _, _ = strings.Cut(cell, " (") // what is in parentheses counts as the state before them
	stated := func(s string) Answer { return Answer{Status: cs.Status{State: s, HasStatus: true}} }
	for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cell, -1) {
		list[m[1]], list[strings.ToUpper(m[1])] = stated(m[1]), stated(strings.ToUpper(m[1]))
	}
	switch {
	case cell == "gone":
		list = map[string]Answer{"gone": {Gone: true}}
	case cell == "no status at all":
		list["none"] = Answer{}
	case strings.HasPrefix(cell, "any other"):
		for _, s := range []string{"waiting", "hibernating", "powering_down", "resuming", "unknown", "brand_new", "", "\x00\"ready"} {
			list["other "+s] = stated(s)
		}
		list["unreadable"] = Answer{Unreadable: true}
	}
	if len(list) == 0 {
		t.Fatalf("states not understood: %q", cell)
	}
	return list
}

// history makes what a row of the second table says was seen, for an operation
// that is to be asked about now, whose newest state is state.
type history func(in *Input, state string, s func(ago time.Duration) time.Time)

var histories = map[string]history{
	"nothing yet, 5 s after the start": func(in *Input, _ string, ago func(time.Duration) time.Time) {
		in.Start, in.Seen = ago(5*time.Second), Seen{First: in.Now}
	},
	"nothing yet, an hour after the start less a minute": func(in *Input, _ string, ago func(time.Duration) time.Time) {
		in.Start, in.Seen = ago(59*time.Minute), Seen{First: in.Now}
	},
	"the same as now, 5 s after the first look": func(in *Input, state string, ago func(time.Duration) time.Time) {
		in.Seen = Seen{First: ago(5 * time.Second), State: state, Exists: true}
	},
	"the same as now, for 31 s since the first look, once": func(in *Input, state string, ago func(time.Duration) time.Time) {
		in.Seen = Seen{First: ago(31 * time.Second), State: state, Exists: true}
	},
	"the same as now, for 31 s since the first look, and a second before": func(in *Input, state string, ago func(time.Duration) time.Time) {
		in.Seen = Seen{First: ago(32 * time.Second), State: state, Exists: true, Settled: ago(time.Second)}
	},
	"another outcome a second before, 31 s after the first look": func(in *Input, state string, ago func(time.Duration) time.Time) {
		in.Seen = Seen{First: ago(32 * time.Second), State: "not " + state, Exists: true, Settled: ago(time.Second)}
	},
	"at work, within 10 s of the first look; the same as now a second before": func(in *Input, state string, ago func(time.Duration) time.Time) {
		in.Seen = Seen{First: ago(25 * time.Second), State: state, Exists: true, Moving: ago(16 * time.Second), Settled: ago(time.Second)}
	},
	"at work, 10 s after the first look; then nothing for 10 s": func(in *Input, _ string, ago func(time.Duration) time.Time) {
		in.Seen = Seen{First: ago(20 * time.Second), State: "updating", Exists: true, Moving: ago(10 * time.Second)}
	},
	"at work, 10 s after the first look; the same as now 10 s later, and a second before": func(in *Input, state string, ago func(time.Duration) time.Time) {
		in.Seen = Seen{First: ago(21 * time.Second), State: state, Exists: true, Moving: ago(11 * time.Second), Settled: ago(time.Second)}
	},
	"at work, 10 s after the first look, and 5 s ago; the same as now a second before": func(in *Input, state string, ago func(time.Duration) time.Time) {
		in.Seen = Seen{First: ago(20 * time.Second), State: state, Exists: true, Moving: ago(5 * time.Second), Settled: ago(time.Second)}
	},
	"uninstalling, 10 s ago": func(in *Input, _ string, ago func(time.Duration) time.Time) {
		in.Seen = Seen{First: ago(10 * time.Second), State: "uninstalling", Exists: true, Uninstalling: true, Moving: ago(10 * time.Second)}
	},
	"uninstalling, 30 s ago": func(in *Input, _ string, ago func(time.Duration) time.Time) {
		in.Seen = Seen{First: ago(40 * time.Second), State: "uninstalling", Exists: true, Uninstalling: true, Moving: ago(30 * time.Second)}
	},
	"uninstalling, 31 s ago; the same as now a second before": func(in *Input, state string, ago func(time.Duration) time.Time) {
		in.Seen = Seen{First: ago(41 * time.Second), State: state, Exists: true, Uninstalling: true, Moving: ago(31 * time.Second), Settled: ago(time.Second)}
	},
	"there; gone for the first time": func(in *Input, _ string, ago func(time.Duration) time.Time) {
		in.Seen = Seen{First: ago(10 * time.Second), State: "pending", Exists: true}
	},
	"there; gone a second before": func(in *Input, _ string, ago func(time.Duration) time.Time) {
		in.Seen = Seen{First: ago(10 * time.Second), State: stateGone, Exists: true, Gone: ago(time.Second)}
	},
	"never there; gone a second before, 119 s after the start": func(in *Input, _ string, ago func(time.Duration) time.Time) {
		in.Start = ago(119 * time.Second)
		in.Seen = Seen{First: ago(10 * time.Second), State: stateGone, Gone: ago(time.Second)}
	},
	"never there; gone a second before, 121 s after the start": func(in *Input, _ string, ago func(time.Duration) time.Time) {
		in.Start = ago(121 * time.Second)
		in.Seen = Seen{First: ago(10 * time.Second), State: stateGone, Gone: ago(time.Second)}
	},
	"answered for 4 min 59 s past the deadline": func(in *Input, _ string, ago func(time.Duration) time.Time) {
		overdueSince(in, ago, 4*time.Minute+59*time.Second, 10*time.Second)
	},
	"answered for 5 min past the deadline": func(in *Input, _ string, ago func(time.Duration) time.Time) {
		overdueSince(in, ago, 5*time.Minute, 10*time.Second)
	},
	"answered for 5 min past the deadline, but for a gap of 3 min": func(in *Input, _ string, ago func(time.Duration) time.Time) {
		overdueSince(in, ago, 5*time.Minute, 3*time.Minute)
	},
}

func overdueSince(in *Input, ago func(time.Duration) time.Time, since, gap time.Duration) {
	in.Start = ago(DefaultConfig().deadline(in.Request) + since)
	in.Seen = Seen{First: ago(7 * time.Minute), State: "earlier", Overdue: ago(since), Exact: ago(gap)}
}

// TestNextKeepsToTheTable asks Next for every state, request, stored status and
// history that docs/operations.md has, and holds it to what is written there.
func TestNextKeepsToTheTable(t *testing.T) {
	now := time.Date(2026, 1, 9, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	var states []sheet
	var seen sheet
	for _, s := range sheets(t) {
		switch {
		case s.head[0] == "object" && s.head[1] == "state":
			states = append(states, s)
		case s.head[0] == "what was seen":
			seen = s
		}
	}
	if len(states) != 3 || len(seen.rows) != len(histories) {
		t.Fatalf("found %d tables of states and %d of %d histories", len(states), len(seen.rows), len(histories))
	}
	asked := map[string]int{}
	for _, table := range states {
		for _, row := range table.rows {
			for object := range strings.SplitSeq(row[0], ", ") {
				kind, ok := subjects[object]
				if !ok {
					t.Fatalf("object not understood: %q", object)
				}
				for column, request := range table.head[2:] {
					for name, answer := range answersOf(t, row[1]) {
						if kind == cs.ExternalAuth && name == "other " {
							answer.Status.HasStatus = true // a status that says no state
						}
						for _, h := range seen.rows {
							for _, stored := range []string{Accepted, Provisioning, Updating, Deleting, "", "AwaitingSecret"} {
								in := Input{Kind: kind, Request: request, Stored: stored, Start: ago(time.Minute), Now: now, Answer: answer}
								histories[h[0]](&in, in.state(), ago)
								check(t, row, object, request, row[column+2], h, in)
								asked[request]++
							}
						}
					}
				}
			}
		}
	}
	t.Logf("asked %v", asked)
	for _, request := range []string{Create, Update, Delete, RequestCredential, RevokeCredentials} {
		if asked[request] < 500 {
			t.Errorf("%s was asked about %d times", request, asked[request])
		}
	}
}

// check holds one decision to a cell of the table, in the light of a history.
func check(t *testing.T, row []string, object, request, cell string, h []string, in Input) {
	t.Helper()
	yes := func(column int) bool { return h[column] == "yes" }
	believed, uninstalled, goneCounts, overdue := yes(1), yes(2), yes(3), yes(4)
	want, visible := "", false
	status, condition, _ := strings.Cut(cell, ", ")
	if status != "keep" {
		want = status
	}
	switch condition {
	case "":
	case "visible":
		visible = true
	case "visible if gone counts":
		visible = goneCounts
	case "if believed":
		if !believed {
			want = ""
		}
	case "if uninstalling was seen":
		if !uninstalled {
			want = ""
		}
	case "if gone counts":
		if !goneCounts {
			want = ""
		}
	default:
		t.Fatalf("cell not understood: %q", cell)
	}
	if want == in.Stored {
		want = ""
	}
	if overdue && !terminal(want) {
		want = Failed
	}
	d := Next(DefaultConfig(), in)
	if d.Status != want || d.Visible != visible && !overdue {
		t.Errorf("%s %s, stored %q, %s, seen %q: have %q visible %v (%s), want %q visible %v",
			object, request, in.Stored, row[1], h[0], d.Status, d.Visible, d.Reason, want, visible)
	}
	if d.Reason == "" || d.After <= 0 || d.After > DefaultConfig().PollInterval {
		t.Errorf("%s %s, %s, seen %q: reason %q, next look in %v", object, request, row[1], h[0], d.Reason, d.After)
	}
	if (d.Error != nil) != (d.Status == Failed) || d.Erase != (request == Delete && d.Status == Succeeded) {
		t.Errorf("%s %s, %s, seen %q: error %v, erase %v with %q", object, request, row[1], h[0], d.Error, d.Erase, d.Status)
	}
	if d.Error != nil && (d.Error.Code == "" || d.Error.Message == "") {
		t.Errorf("%s %s, %s: error %+v", object, request, row[1], d.Error)
	}
	if !slices.Contains([]string{"", Provisioning, Updating, Deleting, Succeeded, Failed}, d.Status) {
		t.Errorf("%s %s, %s: status %q", object, request, row[1], d.Status)
	}
}

// TestStatesOfAllCredentials holds the order of the rows of a revocation.
func TestStatesOfAllCredentials(t *testing.T) {
	now := time.Date(2026, 1, 9, 12, 0, 0, 0, time.UTC)
	one := func(state string) cs.Credential { return cs.Credential{ID: state, State: state} }
	order := []string{stateAwaiting, stateIssued, "brand_new", stateFailed, stateRevoked}
	for i, a := range order {
		for _, b := range order[i:] {
			for _, list := range [][]cs.Credential{{one(a), one(b)}, {one(b), one(a)}, {one(strings.ToUpper(b)), one(b), one(a)}} {
				if s := together(list, now); s.State != a || !s.HasStatus {
					t.Errorf("%v: have %+v, want %s", list, s, a)
				}
			}
		}
	}
	for want, list := range map[string][]cs.Credential{
		stateRevoked: {one(stateExpired)},
		stateIssued:  {one(stateCreated), one(stateExpired)},
		stateFailed:  {{ID: "f", State: stateFailed, Expires: now.Add(time.Second)}},
	} {
		if s := together(list, now); s.State != want {
			t.Errorf("%v: have %s, want %s", list, s.State, want)
		}
	}
	if s := together(nil, now); s.State != stateRevoked {
		t.Errorf("none at all: %s", s.State)
	}
	if s := together([]cs.Credential{{ID: "f", State: stateFailed, Expires: now.Add(-time.Second)}}, now); s.State != stateRevoked {
		t.Errorf("one that failed and has expired: %s", s.State)
	}
}
