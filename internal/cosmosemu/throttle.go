package cosmosemu

import (
	"net/http"
	"time"
)

// rateIsLarge is how the service puts it.
const rateIsLarge = `Message: {"Errors":["Request rate is large. More Request Units may be needed, so no changes were made. ` +
	`Please retry this request later. Learn more: http://aka.ms/cosmosdb-error-429"]}`

// admit asks the budget of a partition before any work is done there. It must
// be called by every handler that is about to use a partition.
func (x *exchange) admit(p *partition) error {
	if !p.owner.account.enforced {
		return nil
	}
	b, rate := p.budget()
	if wait := b.admit(x.now, rate); wait > 0 {
		f := refuse(http.StatusTooManyRequests, rateIsLarge).because(substatusRateIsLarge)
		f.wait = (wait + time.Millisecond - 1).Truncate(time.Millisecond)
		return f
	}
	x.admitted = append(x.admitted, b)
	return nil
}

// settle charges the budgets that admitted the request, refused or not, with
// what it has cost. A request that one of several partitions has throttled costs
// the others nothing.
func (x *exchange) settle(r *reply) {
	if r.status == http.StatusTooManyRequests {
		return
	}
	for _, b := range x.admitted {
		b.charge(r.charge / float64(len(x.admitted)))
	}
}

// budget returns what the partition spends from, and the rate in RU/s. A
// container's throughput is divided evenly among its partitions. A database's
// is not: all partitions of all containers that share it spend from one budget,
// as if it had one physical partition.
func (p *partition) budget() (*budget, float64) {
	if o := p.owner.offer.Load(); o != nil {
		return &p.spent, float64(o.perSecond()) / float64(len(p.owner.routing.Load().live))
	}
	db := p.owner.database
	return &db.shared, float64(db.offer.Load().perSecond())
}
