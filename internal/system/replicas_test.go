package system_test

import (
	"testing"
	"time"
)

// TestReplicasAsProcesses runs three replicas beside each other. One that holds
// ranges is frozen until others have taken them, while another is killed; it
// goes on and does not know. Then all are restarted in turn. Nothing is lost.
func TestReplicasAsProcesses(t *testing.T) {
	t.Parallel()
	const ranges = 6
	// The next owner settles anew, and the simulator shows the state from before
	// for up to 20 s.
	f := newFleet(t, ranges, 3, 300, "OPFEED_SETTLE_TIME=21s", "OPFEED_SWEEP_INTERVAL=4s")
	f.begin()
	load := f.load(12*time.Second, "--rate", "5")
	f.until("operations are under way", func() bool { return load.live() != "" })

	order := f.byHoldings()
	frozen, killed := order[0], order[1]
	taken := append(f.leases.of(f.seats[frozen].name), f.leases.of(f.seats[killed].name)...)
	if len(taken) == 0 {
		t.Fatal("the replicas hold nothing")
	}
	victims := []string{f.seats[frozen].name, f.seats[killed].name}
	f.freeze(frozen)
	f.kill(killed)
	f.start(killed)
	f.until("others have taken the ranges of "+victims[0]+" and "+victims[1], func() bool {
		return f.leases.held() == ranges && len(f.leases.of(victims[0]))+len(f.leases.of(victims[1])) == 0
	})
	f.thaw(frozen)

	for i := range f.seats {
		f.stop(i)
		f.start(i)
		f.ready(i)
	}
	r := load.report(t, 30)
	t.Log(r.Words())
	// Each range has left a victim, if one had it, and each left its owner in the
	// end: there were as many restarts as replicas.
	if changes := f.leases.changed(); changes < ranges {
		t.Errorf("leases changed hands %d times, there are %d", changes, ranges)
	} else {
		t.Logf("leases changed hands %d times; %d were taken from a frozen or killed replica", changes, len(taken))
	}
	for i := range f.seats {
		f.stop(i)
	}
}
