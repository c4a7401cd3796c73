// Package processor is a change feed processor for Azure Cosmos DB: it reads the
// change feed of a container under leases, routes each item to a handler, keeps
// what is pending due, and checkpoints what was handled. It knows nothing of
// what the items mean; Handler's three functions do.
//
// One held lease is one tenure, a group of goroutines that shares little with
// other tenures: the gate of concurrent looks, the list, the quarantine:
//
//	         ┌────────────────────────── tenure ───────────────────────────┐
//	feed ──► │ read page ─► Route ─► dispatcher ─► handled ─► watermark ──┐ │
//	         │     ▲                   ▲   ▲                              │ │
//	Pending ─┼─────┼───────────────────┘   └ due times (the sweeper)      │ │
//	         └─────┼──────────────────────────────────────────────────────┼─┘
//	             lease ◄────────────────── Checkpoint ◄───────────────────┘
//
// A tenure begins with read, list, watch: the page after the stored position is
// read and kept; what is pending is listed with the session token of that read;
// then the page and all later ones are dispatched. A new lease stores its first
// position before anything is delivered.
//
// Guarantees, while the handler is idempotent: each change is handled at least
// once, in its latest version; changes of one key never at the same time; a
// position is stored only when all before it was handled, superseded, skipped
// or quarantined; a document that is its own fault delays no other.
//
// The backstop lists what is pending (Handler.Pending) every ListInterval, and
// more often while a feed is silent, and submits what no tenure knows. So a feed
// that fails or lies costs delay and never a change.
package processor
