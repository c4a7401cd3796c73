package operator_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/internal/operator"
)

// between is a while, and ends between two lists, which are made at whole seconds.
const between = 4*time.Minute + 500*time.Millisecond

// quarantine has a replica put an operation aside whose document is as it must be:
// Cosmos DB refuses its patch for a while.
func (w *world) quarantine(id string) {
	w.t.Helper()
	w.plant(clusterID, "ready")
	w.refuse.Store(true)
	w.put(operation(id, "Create", "Accepted", time.Minute))
	time.Sleep(30 * time.Second)
	w.refuse.Store(false)
	if have := w.state(id); have != "quarantined" {
		w.t.Fatalf("%s is %s", id, have)
	}
}

// state is that of an operation as show has it.
func (w *world) state(id string) string {
	w.t.Helper()
	_, rest, _ := strings.Cut(w.show(operator.ShowOptions{ID: id}), "\nstate            ")
	state, _, _ := strings.Cut(rest, "\n")
	return state
}

// TestRetry: the cause is gone, nobody changes the document, and an operator's word
// is all that is needed: with the replica that has quarantined it, or with another
// that holds its range since that one died.
func TestRetry(t *testing.T) {
	for name, died := range map[string]bool{"same replica": false, "another replica": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				_, kill := w.start()
				time.Sleep(10 * time.Second)
				w.quarantine("aaaa")
				if died {
					kill()
					w.start()
					time.Sleep(time.Minute)
				}
				time.Sleep(between)
				if have := w.status("aaaa") + ", " + w.state("aaaa"); have != "Accepted, quarantined" {
					t.Fatalf("without a retry it is %s", have)
				}
				said, refused := w.retry("", "aaaa")
				if refused != "" || !strings.HasPrefix(said, "out of quarantine: aaaa of subscription "+sub+" (was cosmos db refuses the patch, since ") {
					t.Fatalf("said %q, refused %q", said, refused)
				}
				_, refused = w.retry("", "aaaa")
				if want := "operation aaaa is not in quarantine: it waits for cluster service"; refused != want {
					t.Errorf("refused %q, want %q", refused, want)
				}
				time.Sleep(70 * time.Second)
				if have := w.status("aaaa") + ", " + w.state("aaaa"); have != "Succeeded, ended" {
					t.Errorf("after the retry it is %s", have)
				}
				for _, r := range w.replicas {
					if n := r.Snapshot().Recovered; n != 0 {
						t.Errorf("%d changes count as missed by the feed", n)
					}
				}
				_, refused = w.retry("", "aaaa")
				if want := "operation aaaa is not in quarantine: it has ended"; refused != want {
					t.Errorf("refused %q, want %q", refused, want)
				}
			})
		})
	}
}

// TestMendedIsTakenUpAtOnce: an operator's edit is a change like any other. The feed
// brings it, and the record goes.
func TestMendedIsTakenUpAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		time.Sleep(10 * time.Second)
		w.plant(clusterID, "ready")
		w.put(operation("aaaa", "Create", "Accepted", time.Minute, with("internalId", []int{1})))
		time.Sleep(between)
		if have := w.state("aaaa"); have != "quarantined" {
			t.Fatalf("it is %s", have)
		}
		w.put(operation("aaaa", "Create", "Accepted", time.Minute))
		if have := w.show(operator.ShowOptions{ID: "aaaa"}); !strings.Contains(have, "\nstate            active\n") ||
			!strings.Contains(have, "holds no more: the document was changed since\n") {
			t.Errorf("right after the edit\n%s", have)
		}
		time.Sleep(2 * time.Second)
		if have := w.status("aaaa"); have != "Succeeded" {
			t.Errorf("it is %s", have)
		}
		want(t, w.list(operator.ListOptions{}), "no operation is active, owed or quarantined\n")
		if have := w.show(operator.ShowOptions{ID: "aaaa"}); strings.Contains(have, "quarantined") {
			t.Errorf("its record is still there:\n%s", have)
		}
	})
}

// TestRetryOfWhatIsStillAtFault puts it aside anew, and says so.
func TestRetryOfWhatIsStillAtFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		time.Sleep(10 * time.Second)
		w.put(operation("aaaa", "Create", "Accepted", time.Minute, with("request", 1)))
		time.Sleep(between)
		if _, refused := w.retry("", "aaaa"); refused != "" {
			t.Fatal(refused)
		}
		if _, refused := w.retry("", "aaaa"); refused != "operation aaaa is not in quarantine: it waits for a look at it: properties.request of the operation is not a string" {
			t.Errorf("refused %q", refused)
		}
		time.Sleep(70 * time.Second)
		if have := w.show(operator.ShowOptions{ID: "aaaa"}); !strings.Contains(have, "\nstate            quarantined\n") ||
			!strings.Contains(have, "\nquarantined      2000-01-01T00:0") || strings.Contains(have, "\nquarantined      2000-01-01T00:00") {
			t.Errorf("have\n%s", have)
		}
	})
}
