package service

import (
	"time"

	"opfeed/processor/status"
)

// Snapshot is what one replica tells of itself: the processor's state, with what
// the service knows beside it.
type Snapshot struct {
	status.Snapshot
	Service Facts `json:"service"`
}

// Facts are the service's part of a Snapshot.
type Facts struct {
	Build         Build            `json:"build"`
	ProcessorName string           `json:"processorName"`
	Ready         bool             `json:"ready"`
	Conditions    []Condition      `json:"conditions"`
	Cosmos        map[string]Usage `json:"cosmos"` // by purpose, since the start of the process
	// Subscriptions counts the registry by state; absent until it was read.
	Subscriptions map[string]int `json:"subscriptions,omitempty"`
}

// Changes lists what has not come to an end in the held ranges, in no order. Safe
// for concurrent use.
func (s *Service) Changes() []status.Change {
	if e := s.running.Load(); e != nil {
		return e.changes()
	}
	return nil
}

// Snapshot tells the state of this moment. Safe for concurrent use.
func (s *Service) Snapshot() Snapshot {
	snap := Snapshot{Snapshot: status.Snapshot{
		Instance:       s.cfg.Instance,
		Now:            time.Now(),
		Ranges:         []status.Range{},
		Hosts:          []status.Host{},
		PendingByState: map[string]int{},
		Quarantined:    []status.Quarantined{},
	}}
	facts := Facts{Build: s.build, ProcessorName: s.cfg.ProcessorName, Cosmos: s.meter.Usage()}
	facts.Conditions, facts.Ready = s.readiness.Conditions()
	if e := s.running.Load(); e != nil {
		snap.Snapshot = e.snapshot()
		facts.Subscriptions = e.subscriptions()
	}
	snap.Started = s.started
	snap.Service = facts
	return snap
}
