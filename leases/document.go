package leases

import (
	"encoding/json"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// Versions of a lease document.
const (
	// VersionRange0 leases name a physical partition by its pk range id. They
	// are the ones of ranges that are one whole physical partition.
	VersionRange0 = 0
	// VersionEPK leases name a range of effective partition keys that need not
	// be one whole physical partition, as after a merge.
	VersionEPK = 1
	// Unreadable stands for a document with the prefix of a lease that does not
	// decode as one, or has a position that is not of our feed. Its ID and ETag
	// are known, of the rest what could be read, and why is in Fault.
	Unreadable = -1
)

// Document is one lease as it is stored: the schema of the .NET change feed
// processor, so that its estimator and the KEDA scalers can read our lag. Fields
// and properties that this package does not know are kept when the document is
// written back. The zero value is no lease.
//
// Documents are values; a copy shares nothing that is ever written to.
type Document struct {
	ID           string             // {prefix}..{Token}
	Version      int                // 0, 1, or Unreadable
	Token        string             // JSON LeaseToken: the pk range id; of version 1 "min-max"
	Range        azcosmos.FeedRange // JSON FeedRange; empty when the document has none
	Owner        string             // instance name; "" when free (JSON null)
	Continuation string             // raw ETag with its quotes; "" before the first (JSON null)
	StartID      string             // of the Manager that acquired it last
	Epoch        int64              // grows with every acquisition
	Renewal      int64              // grows with every write of one tenure
	Mode         string             // JSON Mode, of the feed that Continuation is of; "" as Incremental Feed
	Timestamp    time.Time          // wall clock of the last writer, for others; zero when unknown
	Written      time.Time          // _ts: the server's clock at the last write; zero before the first read
	Request      string             // start id and instance of the host that asks for the lease; "" nobody
	Offer        string             // the same of the host that its leaving owner wants to have it; "" none
	Page         string             // where the owner's page is, an http or https URL; "" unknown
	Start        string             // "beginning" or an RFC 3339 time: where to begin without a Continuation; "" as configured
	Fault        string             // why it is Unreadable; bounded, but it may quote the document; not in the JSON
	ETag         string             // of the version that was read or written; not in the JSON

	properties map[string]json.RawMessage // the others than ours
	unknown    map[string]json.RawMessage // top-level fields
	feedRange  json.RawMessage            // as stored: it may hold more than Range, or something else
}

// ExpiresAfter is how long d may stay as it is before it has expired, where our
// own leases do after expiry. An owner without a start id is one of .NET's.
func (d Document) ExpiresAfter(expiry time.Duration) time.Duration {
	if d.Owner != "" && d.StartID == "" {
		return max(expiry, dotnetExpiry)
	}
	return expiry
}
