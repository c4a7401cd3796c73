package cs_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs"
	"opfeed/cs/cssim"
	"opfeed/internal/inproc"
)

// ask posts, patches or deletes the way a front end does.
func ask(t *testing.T, sim http.Handler, method, path, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://sim.test"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := inproc.New(sim).RoundTrip(req)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %v %v", method, path, resp.Status, err)
	}
}

// follow polls once a second through the client and gives the states in order,
// "gone" for ErrNotFound, until the last one of want or an hour.
func follow(t *testing.T, r *rig, ref cs.Ref, want string) {
	t.Helper()
	words := strings.Fields(want)
	var got []string
	for range 3600 {
		s, err := r.Status(t.Context(), ref)
		switch {
		case errors.Is(err, cs.ErrNotFound):
			s.State = "gone"
			if err := r.Exists(t.Context(), ref); !errors.Is(err, cs.ErrNotFound) {
				t.Fatalf("status is not found, the object: %v", err)
			}
		case err != nil:
			t.Fatal(err)
		case !s.HasStatus:
			t.Fatalf("%v: no status", ref)
		case s.State == "error" && s.Message == "":
			t.Fatalf("%v: error without a message", ref)
		}
		if len(got) == 0 || got[len(got)-1] != s.State {
			got = append(got, s.State)
		}
		if len(got) > 1 && s.State == words[len(words)-1] {
			break
		}
		time.Sleep(time.Second)
	}
	if strings.Join(got, " ") != want {
		t.Errorf("%v: states %v, want %s", ref, got, want)
	}
}

func TestLifeThroughTheClient(t *testing.T) {
	const failing = 1
	for _, o := range []cssim.Options{
		{Seed: 1, StaleAfterDelete: -1},
		{Seed: 5, StaleAfterDelete: -1, Speed: 20, Latency: 30 * time.Millisecond, LatencyJitter: 50 * time.Millisecond},
		{Seed: 3, StaleAfterDelete: -1, FailureRate: failing},
	} {
		synctest.Test(t, func(t *testing.T) {
			end := "ready"
			if o.FailureRate == failing {
				end = "error"
			}
			sim := cssim.New(o)
			r := newRig(t, sim)
			for _, ref := range []cs.Ref{clusterRef, poolRef, authRef} {
				if err := r.Exists(t.Context(), ref); !errors.Is(err, cs.ErrNotFound) {
					t.Errorf("%v before its time: %v", ref, err)
				}
			}
			const clusters = "/api/clusters_mgmt/v1/clusters"
			ask(t, sim, "POST", clusters, `{"id":"c"}`)
			follow(t, r, clusterRef, "validating pending installing "+end)
			ask(t, sim, "PATCH", clusters+"/c", `{}`)
			follow(t, r, clusterRef, end+" updating "+end)

			ask(t, sim, "POST", clusters+"/c/node_pools", `{"id":"p"}`)
			follow(t, r, poolRef, "validating pending installing "+end)
			ask(t, sim, "PATCH", clusters+"/c/node_pools/p", `{}`)
			follow(t, r, poolRef, end+" validating_update pending_update updating "+end)
			ask(t, sim, "DELETE", clusters+"/c/node_pools/p", "")
			follow(t, r, poolRef, "uninstalling gone")

			ask(t, sim, "POST", clusters+"/c/external_auth_config/external_auths", `{"id":"e"}`)
			if s := status(t, r.Client, authRef); s != (cs.Status{State: "ready", HasStatus: true}) {
				t.Errorf("external auth: %+v", s)
			}
			ask(t, sim, "DELETE", clusters+"/c/external_auth_config/external_auths/e", "")
			follow(t, r, authRef, "uninstalling gone")

			// What goes with its cluster never shows it.
			ask(t, sim, "POST", clusters+"/c/external_auth_config/external_auths", `{"id":"e"}`)
			status(t, r.Client, authRef)
			if err := sim.Plant(poolRef.Path(), "ready"); err != nil {
				t.Fatal(err)
			}
			ask(t, sim, "DELETE", clusters+"/c", "")
			follow(t, r, poolRef, "ready gone")
			for _, ref := range []cs.Ref{clusterRef, authRef} {
				if _, err := r.Status(t.Context(), ref); !errors.Is(err, cs.ErrNotFound) {
					t.Errorf("%v after its end: %v", ref, err)
				}
			}
			if err := sim.Plant(authRef.Path(), ""); err != nil {
				t.Fatal(err)
			}
			if s := status(t, r.Client, authRef); s != (cs.Status{}) {
				t.Errorf("external auth without a status: %+v", s)
			}

			for _, object := range sim.Journal().Objects {
				for _, m := range object.Mutations {
					if m.FirstRead["opfeed"].IsZero() && m.Kind != "planted" {
						t.Errorf("%s: %s was never read: %v", object.InternalID, m.Kind, m.FirstRead)
					}
				}
			}
		})
	}
}

// TestSimulatorHonoursDeadlines: a slow simulator is given up like the real one.
func TestSimulatorHonoursDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := cssim.New(cssim.Options{Latency: time.Hour})
		r := newRig(t, sim)
		start := time.Now()
		if _, err := r.Status(t.Context(), clusterRef); sortOf(err) != unavailable || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("took %v", took)
		}
	})
}
