package processor

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// registrations is a registerer that can take back all it has registered, so that
// a processor leaves nothing behind and the next one finds its place free. Without
// a registerer below it takes everything and does nothing.
type registrations struct {
	prometheus.Registerer

	mu  sync.Mutex
	all []prometheus.Collector
}

// Register implements prometheus.Registerer.
func (r *registrations) Register(c prometheus.Collector) error {
	if r.Registerer == nil {
		return nil
	}
	if err := r.Registerer.Register(c); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, c)
	return nil
}

// MustRegister implements prometheus.Registerer.
func (r *registrations) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := r.Register(c); err != nil {
			panic(err)
		}
	}
}

// withdraw takes everything back.
func (r *registrations) withdraw() {
	r.mu.Lock()
	all := slices.Clone(r.all)
	r.all = nil
	r.mu.Unlock()
	for _, c := range all {
		r.Unregister(c)
	}
}
