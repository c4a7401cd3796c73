package processor

import (
	"go.uber.org/zap"

	"opfeed/internal/logkey"
)

// start is where this tenure begins if its lease has no position: where an
// operator has set it, or as configured.
func (t *tenure) start() Start {
	lease := t.lease.Lease()
	if lease.Start == "" || lease.Continuation != "" {
		return t.cfg.Start
	}
	var s Start
	if err := s.UnmarshalText([]byte(lease.Start)); err != nil {
		t.log.Error("start in the lease is not understood, beginning as configured",
			zap.String(logkey.Reason, err.Error()), zap.String("start", t.cfg.Start.String()))
		return t.cfg.Start
	}
	if s.beginning || !s.at.IsZero() {
		t.log.Info("beginning where the lease says", zap.String("start", s.String()))
	}
	return s
}
