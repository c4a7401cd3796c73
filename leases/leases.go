package leases

import (
	"context"
	"errors"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// ErrLost is the cause with which work is cancelled when a lease is not ours any
// more, or cannot be shown to be: write nothing that depends on it.
var ErrLost = errors.New("lease lost")

// ErrOutdated is what a Serve returns when its range cannot be read as it is any
// more: the partition was split or merged. The Manager then creates the leases
// that follow, at the last position that was given, and deletes this one.
var ErrOutdated = errors.New("range was split or merged")

// Range is one live physical range of the monitored container.
type Range struct {
	Token        string             // pk range id
	Range        azcosmos.FeedRange // min inclusive, max exclusive
	Continuation string             // first position of a lease made for it, a raw ETag; "" none
	Start        string             // where to begin without one; see Document
}

// Deps is what a Manager works with. Store and Instance are required.
type Deps struct {
	Store *Store
	// Instance is the owner's name in the documents, such as the pod's. Two
	// processes with one name do not harm each other.
	Instance string
	// Page is where people find this host's page, for the other hosts' Info: a URL
	// as CheckPage wants it, or "" for none.
	Page string
	// Ranges gives the live ranges of the monitored container, all of them and
	// not from a cache: leases are made and deleted by it. It is asked at the
	// start, and when a listing shows a gap in the key space or a lease of a
	// range that is not known. nil means that leases are made elsewhere. It must
	// honour its context.
	Ranges func(context.Context) ([]Range, error)
	// Now is the wall clock, used for the documents' timestamp alone; nil means
	// time.Now.
	Now func() time.Time
	// Log and Metrics may be nil.
	Log     *zap.Logger
	Metrics prometheus.Registerer
}

// Serve works on one range. stop ends when reading should stop, because of a
// shutdown, or because the lease goes to another host or is to be replaced:
// finish, and still checkpoint. work ends only when the lease is lost, with cause
// ErrLost: no checkpoint after that, nothing written. stop ends then, too. When Serve returns and the lease is still held, the last checkpoint is
// written and the lease released, or handed over to who asked for it, in one
// write. ErrOutdated is told above. Any other error makes this process wait
// before it takes the range again; others may take it at once.
type Serve func(stop, work context.Context, t *Tenure) error

// Info is what a Manager knows about one lease.
type Info struct {
	ID, Token    string
	Version      int
	Range        azcosmos.FeedRange
	Owner        string
	Mine         bool // held by this very Manager
	Epoch        int64
	Continuation string    // for an own lease the newest given, else the stored
	Renewed      time.Time // the document's timestamp, by its writer's wall clock
	Page         string    // where its owner's page is, as CheckPage wants it; "" unknown
}
