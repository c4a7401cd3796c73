package browser_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"opfeed/internal/service"
	"opfeed/processor/status"
)

// rows is how many operations the page shows.
const rows = `document.querySelectorAll("#operations tbody").length`

// complete holds when all that is asked for has been shown once.
const complete = rows + ` > 0 && document.querySelectorAll("#transitions tbody").length > 0 && document.querySelector(".tile .line").hasAttribute("d")`

// nothingWrong: no error on the console, no exception, no violation of the
// policy, no dialog, no warning; and nobody else was asked for anything.
func (p *tab) nothingWrong(s *server) {
	p.t.Helper()
	if wrong := p.wrong(); len(wrong) > 0 {
		p.t.Errorf("trouble in the page: %q", wrong)
	}
	for _, address := range p.asked() {
		if !strings.HasPrefix(address, s.url()) {
			p.t.Errorf("a request left the host: %s", address)
		}
	}
}

func (p *tab) shows(selector string, words ...string) {
	p.t.Helper()
	text := p.text(selector)
	for _, w := range words {
		if !strings.Contains(text, w) {
			p.t.Errorf("%s does not show %q:\n%s", selector, w, text)
		}
	}
}

func TestPageShowsWhatAReplicaTells(t *testing.T) {
	s := serve(t, typical)
	p := start(t).open(t)
	p.visit(s.url())
	p.until(complete)
	p.shows(".top", instance, "v0.6.0", "processor opfeed", "live, ")
	p.shows("#state", "Ready", "Reads 3 of 6 ranges", "Cosmos DB", "Cluster Service")
	p.shows("#tiles", "Pending", "Waiting", "Lag", "Staleness", "Steps", "Transitions", "Request units", "peak")
	p.shows("#ranges", "start – 0A", "34 – end", "(this)", "listed", "elsewhere", "epoch 4")
	p.shows("#legend", "this replica: 3 ranges, 48 %", "other replicas: 3 ranges, 52 %")
	p.shows("#operations-note", "187 operations")
	p.shows("#operations-pager", "1 – 50 of 187")
	p.shows("#bars", "By kind", "NodePool", "By request", "Create", "By state", "Provisioning")
	p.shows("#transitions", "Succeeded")
	p.shows("#quarantine", "undecodable: read operation")
	p.shows("#replicas", "opfeed-6c9d7b5f4-7hbzn", "2 ranges", "1 range, tells no page", "opfeed-6c9d7b5f4-new1d", "no range")
	p.shows("#facts", "2 d 3 h ago", "Recovered by it", "498")
	if n := eval[int](p, `document.querySelectorAll(".tile path.line[d]").length`); n != 7 {
		t.Errorf("%d sparklines, want 7", n)
	}
	links := eval[[]string](p, `[...document.querySelectorAll("main a[href]")].map((a) => a.rel + " " + a.href)`)
	peer := "noopener noreferrer https://ops.example.org/opfeed-6c9d7b5f4-7hbzn/"
	if want := []string{peer, peer, peer, "noopener noreferrer http://127.0.0.1:1/"}; !slices.Equal(links, want) { // two ranges, two replicas
		t.Errorf("links: %q", links)
	}
	p.nothingWrong(s)
}

// What is due is told as of the moment when it was read: that the page has not
// heard since of an operation does not make it late.
func TestPageCallsNoOperationLateThatItHasNotHeardOf(t *testing.T) {
	s := serve(t, typical)
	s.set(func(s *server) {
		for i := range s.changes {
			c := &s.changes[i]
			if c.Since = time.Now(); !c.Due.IsZero() {
				c.Due = c.Since.Add(30 * time.Minute)
			}
			if c.Phase == status.Running {
				c.Began = c.Since.Add(-99 * time.Hour) // among the first
			}
		}
	})
	p := start(t).open(t)
	p.visit(s.url())
	p.until(complete)
	const steps = `[...document.querySelectorAll("#operations td.next")].map((e) => e.innerText).join("\n")`
	s.set(func(s *server) { s.lag = 1 << 40 })
	s.until(func(s *server) bool { return slices.ContainsFunc(s.held, searches("")) })
	before := eval[string](p, steps)
	s.set(func(s *server) { s.ahead = time.Hour })
	p.until(`document.querySelector("#facts").innerText.includes("2 d 4 h ago")`)
	if now := eval[string](p, steps); now != before || strings.Contains(now, "late") || !strings.Contains(now, "in 2") || !strings.Contains(now, "running for ") {
		t.Errorf("before:\n%s\nan hour later, not read since:\n%s", before, now)
	}
	if ages := p.text("#operations td.age"); !strings.Contains(ages, "4 d 4 h") {
		t.Errorf("what goes on is the age: %s", ages)
	}
	// Read again it is late.
	s.set(func(s *server) { s.lag = 0 })
	p.until(steps + `.includes(" min late")`)
	p.nothingWrong(s)
}

func TestPageFollowsTheService(t *testing.T) {
	s := serve(t, typical)
	p := start(t).open(t)
	p.visit(s.url())
	p.until(complete)
	s.set(func(s *server) {
		s.snapshot.Pending, s.snapshot.QuarantinedTotal = 4242, 2323
		s.snapshot.Ranges[3].Owner = "" // whose page it was is of no use
		s.changes[0].Name, s.changes[0].Began = "quite-new", time.Now().Add(-100*time.Hour)
		s.transitions = append([]status.Transition{{At: time.Now(), ID: "t", Name: "just-ended", From: "Deleting", To: "Succeeded"}}, s.transitions...)
	})
	p.until(`document.querySelector('[data-tile="pending"] b').textContent === "4,242"`)
	p.shows("#state-text", "2,323 in quarantine")
	p.shows("#quarantine-note", "2,323 documents, the newest 2")
	p.until(`document.querySelector("#operations tbody").innerText.includes("quite-new")`)
	p.until(`document.querySelector("#transitions tbody").innerText.includes("just-ended")`)
	p.until(`document.querySelector("#state-title").textContent === "Ready, but nobody reads 1 range"`)
	p.shows("#legend", "nobody: 1 range")
	if n := eval[int](p, `document.querySelectorAll("#ranges a[href]").length`); n != 1 {
		t.Errorf("%d ranges lead to a page, want 1", n)
	}
	p.until(`document.title === "4,242 pending · ` + instance + `"`)

	s.set(func(s *server) {
		s.snapshot.Service.Ready = false
		s.snapshot.Service.Conditions = []service.Condition{{Name: "cosmos", Reason: "answered 503 Service Unavailable", Since: time.Now().Add(-90 * time.Second)}}
	})
	p.until(`document.querySelector("#state-title").textContent === "Not ready: Cosmos DB – answered 503 Service Unavailable"`)
	p.shows("#conditions", "1 min 30 s")
	// A screen reader is told of it, once, politely.
	p.until(`document.querySelector('#say-state[aria-live="polite"]').textContent.startsWith("Not ready: Cosmos DB")`)

	// A lease that is stored as this replica's, but not held by it, is not elsewhere,
	// and the replica is not among the others.
	s.set(func(s *server) { s.snapshot.Ranges[0].Mine = false })
	p.until(`document.querySelector("#ranges tbody").innerText.includes("not held now")`)
	if others := p.text("#replicas"); strings.Contains(others, instance) || !strings.Contains(others, "7hbzn") {
		t.Errorf("the other replicas are %q", others)
	}

	// Nothing is left: each part says so, and why.
	s.set(func(s *server) {
		s.snapshot = service.Snapshot{Snapshot: status.Snapshot{Instance: instance, Started: time.Now()}}
		s.changes, s.transitions, s.history = nil, nil, status.History{}
	})
	p.until(rows + ` === 0`)
	p.until(`document.querySelectorAll("#transitions tbody").length === 0`)
	p.shows("#ranges-none", "No lease is known yet")
	p.shows("#operations-none", "Nothing is pending here")
	p.shows("#transitions-none", "has written no new state since it started")
	p.shows("#quarantine-none", "No document is put aside")
	p.nothingWrong(s)
}

// What a reader is doing is not disturbed by what comes in.
func TestPageKeepsFocusSelectionAndPlace(t *testing.T) {
	s := serve(t, typical)
	p := start(t).open(t)
	p.visit(s.url())
	p.until(complete)
	eval[any](p, `(() => {
		const row = document.querySelectorAll("#operations tbody")[20];
		row.id = "mine";
		row.querySelector("button.disclose").click();
		row.querySelector("button.disclose").focus();
		getSelection().selectAllChildren(row.querySelector("td.name .under"));
		scrollTo(0, row.getBoundingClientRect().top + scrollY - 300);
		window.place = document.querySelector("#mine").getBoundingClientRect().top;
		window.chosen = getSelection().toString();
	})()`)
	p.until(`document.querySelector("#mine .detail")`)
	mine := eval[string](p, `document.querySelector("#mine .detail").innerText`)
	// Ten older ones come in above, one goes, and the rest is told anew.
	s.set(func(s *server) {
		for i := range 10 {
			s.changes[100+i].Began = time.Now().Add(-time.Duration(50+i) * time.Hour)
			s.changes[100+i].Name = "older"
		}
		for i := range s.changes {
			s.changes[i].Attempt++
		}
		s.snapshot.Pending++
	})
	p.until(`document.querySelector("#operations tbody").innerText.includes("older")`)
	p.until(`document.querySelector("#mine .detail").innerText.includes("Failed in a row")`)
	if !eval[bool](p, `document.activeElement === document.querySelector("#mine button.disclose")`) {
		t.Error("the focus is lost")
	}
	if !eval[bool](p, `window.chosen !== "" && getSelection().toString() === window.chosen`) {
		t.Errorf("the selection is lost: %q", eval[string](p, `getSelection().toString()`))
	}
	if moved := eval[float64](p, `Math.abs(document.querySelector("#mine").getBoundingClientRect().top - window.place)`); moved > 2 {
		t.Errorf("the row has moved by %v pixels under the reader's eyes", moved)
	}
	if mine == "" || !eval[bool](p, `document.querySelector("#mine button.disclose").getAttribute("aria-expanded") === "true"`) {
		t.Error("the details are closed")
	}
	p.nothingWrong(s)
}
