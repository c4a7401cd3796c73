package operations

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"opfeed/cs"
)

// Results of a step, as counted.
const (
	resultUnchanged   = "unchanged"   // nothing to write
	resultListed      = "listed"      // nothing to write, as a list says
	resultWritten     = "written"     // a status was written
	resultDone        = "done"        // has ended before
	resultOwed        = "owed"        // has ended, and ARM is to be told
	resultSettled     = "settled"     // ARM is owed nothing more
	resultNoID        = "no_id"       // has no internalId yet
	resultGone        = "gone"        // the document itself is gone
	resultMirrored    = "mirrored"    // a resource was brought in line with an ended operation
	resultLeftAlone   = "left_alone"  // not ours to move
	resultQuarantined = "quarantined" // the document is at fault
	resultConflict    = "conflict"    // others kept writing
	resultRefused     = "refused"     // a patch was refused, for the first time
	resultLockBusy    = "lock_busy"   // the lock was not to be had
	resultError       = "error"       // to be tried again
	resultEcho        = "echo"        // a version looked at already
)

// Values of the labels kind and request beside those of KindsByRequest.
const (
	KindNone     = "none"  // not known, or none
	RequestOther = "other" // not one of the five
)

// Values of the label reason.
const (
	reasonRequest     = "request"      // left alone: request not handled
	reasonKind        = "kind"         // left alone: request does not fit the kind
	reasonForeign     = "foreign"      // left alone: moved by another
	reasonNoOperation = "no_operation" // left alone: a link to an operation that does not exist
)

type metrics struct {
	handled       *prometheus.CounterVec
	transitions   *prometheus.CounterVec
	durations     *prometheus.HistogramVec
	leftAlone     *prometheus.CounterVec
	lockBusy      prometheus.Counter
	lockWait      prometheus.Histogram
	lockHold      prometheus.Histogram
	unknown       *prometheus.CounterVec
	conflicts     prometheus.Counter
	orphans       prometheus.Gauge
	settled       *prometheus.CounterVec
	billingFailed *prometheus.CounterVec // what a person has to put right
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help,
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}})
	}
	m := &metrics{
		handled: vec("opfeed_operations_handled_total",
			"Steps taken, by request, kind of object and result.", "request", "kind", "result"),
		transitions: vec("opfeed_operation_transitions_total",
			"Status changes written.", "kind", "request", "status"),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "opfeed_operation_duration_seconds",
			Help:    "Time from the start of an operation to its end, for ends that were written here.",
			Buckets: []float64{60, 120, 300, 600, 900, 1200, 1500, 1800, 2700, 3600, 7200, 14400, 28800, 43200},
		}, []string{"kind", "request", "status"}),
		leftAlone: vec("opfeed_operations_left_alone_total",
			"Documents left alone, by reason.", "reason"),
		lockBusy: prometheus.NewCounter(prometheus.CounterOpts{Name: "opfeed_lock_busy_total",
			Help: "Steps put off because another holds the lock of the subscription."}),
		lockWait: histogram("opfeed_lock_wait_seconds",
			"Time until the lock of a subscription was had, or given up because another holds it."),
		lockHold: histogram("opfeed_lock_hold_seconds",
			"Time for which the lock of a subscription was held, with its release."),
		unknown: vec("opfeed_unknown_states_total",
			"Answers of Cluster Service that nothing is known to follow from, once per change.", "kind"),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{Name: "opfeed_write_conflicts_total",
			Help: "Batches refused because a document had changed."}),
		orphans: prometheus.NewGauge(prometheus.GaugeOpts{Name: "opfeed_orphan_links",
			Help: "Links of resources, in all ranges, to operations that do not exist, as of the last list."}),
		settled: vec("opfeed_notifications_settled_total",
			"Notifications that are owed no more, by why: delivered, refused, given_up or cut_off.", "why"),
		billingFailed: vec("opfeed_billing_failed_total",
			"Billing documents that could not be created, or closed, while their operation went on.", "action"),
	}
	m.preset()
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.handled, m.transitions, m.durations, m.leftAlone, m.lockBusy, m.lockWait, m.lockHold, m.unknown, m.conflicts, m.orphans, m.settled, m.billingFailed,
	} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}

// results are those that an operation of a known kind may have.
var results = []string{
	resultUnchanged, resultListed, resultWritten, resultDone, resultOwed, resultSettled, resultGone, resultLeftAlone,
	resultQuarantined, resultConflict, resultRefused, resultLockBusy, resultError, resultEcho,
}

var kinds = []cs.Kind{cs.Cluster, cs.NodePool, cs.ExternalAuth, cs.BreakGlassCredential}

// KindsByRequest are the kinds of objects and what may be asked of each, as the
// labels kind and request have them.
func KindsByRequest() [][2]string {
	var pairs [][2]string
	for _, kind := range kinds {
		for _, request := range []string{Create, Update, Delete, RequestCredential, RevokeCredentials} {
			if meanings(kind, request) != nil {
				pairs = append(pairs, [2]string{kind.String(), request})
			}
		}
	}
	return pairs
}

// preset makes the series exist from the start, so that a rate sees the first event.
func (m *metrics) preset() {
	for _, kind := range kinds {
		m.unknown.WithLabelValues(kind.String())
	}
	for _, pair := range KindsByRequest() {
		kind, request := pair[0], pair[1]
		for _, result := range results {
			m.handled.WithLabelValues(request, kind, result)
		}
		for _, status := range []string{Provisioning, Updating, Deleting, Succeeded, Failed} {
			m.transitions.WithLabelValues(kind, request, status)
			if terminal(status) {
				m.durations.WithLabelValues(kind, request, status)
			}
		}
	}
	// Without an object to ask for there is nothing but the deadline.
	for _, request := range []string{Create, Update, Delete, RequestCredential, RevokeCredentials} {
		m.transitions.WithLabelValues(KindNone, request, Failed)
		m.durations.WithLabelValues(KindNone, request, Failed)
		m.handled.WithLabelValues(request, KindNone, resultNoID)
	}
	m.handled.WithLabelValues(RequestOther, KindNone, resultMirrored) // a link
	for _, action := range []string{billingCreate, billingClose} {
		m.billingFailed.WithLabelValues(action)
	}
	for _, why := range []string{overDelivered, overRefused, overGivenUp, overCutOff} {
		m.settled.WithLabelValues(why)
	}
	for _, reason := range []string{reasonRequest, reasonKind, reasonForeign, reasonNoOperation} {
		m.leftAlone.WithLabelValues(reason)
	}
}
