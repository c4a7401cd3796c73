package processor

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"opfeed/internal/logkey"
)

// outage logs a dependency's trouble once when it begins and once when it ends.
type outage struct {
	log  *zap.Logger
	what string

	mu    sync.Mutex
	since time.Time
}

func (o *outage) begin(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.since.IsZero() {
		return
	}
	o.since = time.Now()
	o.log.Error("dependency failing, trying again", zap.String("dependency", o.what), zap.String(logkey.Reason, logkey.Words(err)))
}

func (o *outage) over() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return
	}
	o.log.Info("dependency works again", zap.String("dependency", o.what), zap.Duration("after", time.Since(o.since)))
	o.since = time.Time{}
}
