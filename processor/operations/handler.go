package operations

import (
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"opfeed/cs"
)

// Deps are what a Handler works with.
type Deps struct {
	Resources *azcosmos.ContainerClient // operations and resources, partitioned by subscription
	Locks     *azcosmos.ContainerClient // subscription locks; nil = no lock is taken
	CS        *cs.Client
	Instance  string // owner of the locks that this process takes
	Log       *zap.Logger
	Metrics   prometheus.Registerer // nil = none
}

// Handler moves operations. Safe for concurrent use, within the rule that the
// funcs that Look returns run one at a time per partition.
type Handler struct {
	cfg     Config
	deps    Deps
	log     *zap.Logger
	metrics *metrics
}

// New returns a Handler. It does no I/O.
func New(cfg Config, deps Deps) (*Handler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure operations: %w", err)
	}
	if deps.Resources == nil || deps.CS == nil {
		return nil, errors.New("configure operations: a container of resources and a client of cluster service are required")
	}
	if deps.Locks != nil && deps.Instance == "" {
		return nil, errors.New("configure operations: locks need an instance name")
	}
	if deps.Log == nil {
		deps.Log = zap.NewNop()
	}
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, fmt.Errorf("register metrics of operations: %w", err)
	}
	return &Handler{cfg: cfg, deps: deps, log: deps.Log, metrics: m}, nil
}

// Sources of a Sighting that a Handler tells apart; any other counts as Due.
const (
	SourceFeed = "feed"
	SourceList = "list"
	SourceDue  = "due"
)

// Sighting is one document that has come up.
type Sighting struct {
	Partition string
	ID        string
	ETag      string       // of Document, or the version known to exist
	Document  []byte       // nil: read it
	Session   string       // session token of the read or list that brought it
	Source    string       // feed, list, due
	Written   time.Time    // _ts by the server's clock; zero = not known
	Attempt   int          // tries before this one that failed
	Seen      any          // Step.Seen of the step before; nil = first sight
	Trusted   func() error // nil error = the range is still ours; nil = not asked
}

// Verdict says what becomes of a document after a step.
type Verdict uint8

// Verdicts.
const (
	Done       Verdict = iota // nothing more to do for this document
	Again                     // look again after Step.After
	LeftAlone                 // not ours to move, until the document changes
	Quarantine                // the document itself is at fault, for Step.Reason
)

// String returns the verdict in lower case.
func (v Verdict) String() string {
	switch v {
	case Done:
		return "done"
	case Again:
		return "again"
	case LeftAlone:
		return "left alone"
	case Quarantine:
		return "quarantine"
	}
	return "unknown"
}

// Step is what one step came to. When it comes with an error, the document at
// hand must not be used again: the write may have been applied.
type Step struct {
	Verdict  Verdict
	After    time.Duration // Again: time until the next look
	Reason   string        // short and free of document contents
	ETag     string        // newest version known, "" = not known
	Wrote    bool          // this step changed documents
	Document []byte        // of ETag; nil = read it
	Session  string        // to read that version with
	Seen     any           // to be handed to the next Look at this document
	Label    string        // provisioning state, or why there is none: one of a small fixed set
}
