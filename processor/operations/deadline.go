package operations

import "time"

// deadline is the age at which an operation that has not ended has failed.
func (c Config) deadline(request string) time.Duration {
	switch request {
	case Create:
		return c.DeadlineCreate
	case Update:
		return c.DeadlineUpdate
	case Delete:
		return c.DeadlineDelete
	}
	return c.DeadlineCredential
}

// overdue fails an operation that Cluster Service does not end. Only a Cluster
// Service that works can say so: it has to answer, whatever it is, for the whole
// time of confirmation, with no gap as long as half of it. Its silence fails
// nothing.
func overdue(cfg Config, in Input, d *Decision) {
	if in.age() < cfg.deadline(in.Request) {
		d.Seen.Overdue = time.Time{}
		return
	}
	if d.Seen.Overdue.IsZero() || in.Now.Sub(in.Seen.Exact) > cfg.DeadlineConfirm/2 {
		d.Seen.Overdue = in.Now
	}
	if wait := cfg.DeadlineConfirm - in.Now.Sub(d.Seen.Overdue); wait > 0 {
		d.After = min(d.After, wait)
		return
	}
	d.Status, d.Reason, d.Error = Failed, "past its deadline", timedOut(cfg, in)
}

// unnamed is Next for an operation whose object nobody has named yet. There is
// nothing to ask Cluster Service for, so there is nothing to confirm either.
func unnamed(cfg Config, in Input, d *Decision) {
	d.Reason = "no internal id yet"
	wait := cfg.deadline(in.Request) - in.age()
	switch {
	case wait > 0:
		d.After = min(cfg.PollInterval, wait)
	case in.Request == Delete && in.Bare:
		d.Status, d.Reason = Succeeded, "no internal id, and no resource left to delete"
	default:
		d.Status, d.Reason, d.Error = Failed, "no internal id within the deadline", timedOut(cfg, in)
	}
}
