// Package processor is a change feed processor for Azure Cosmos DB: it reads the
// change feed of a container under leases, routes each item to a handler, keeps
// what is pending due, and checkpoints what was handled. It knows nothing of
// what the items mean; Handler's functions do.
//
// Each makes a handler of one function, for a container with any partition key;
// the example counts changes in twenty lines. A Handler of one's own is for work
// that goes on after the change: it takes the feed's item as a reason to look, and
// looks again when it is due.
//
// # Engine
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
// The backstop lists what is pending (Handler.Pending) every ListInterval, and
// more often while a feed is silent, and submits what no tenure knows. So a feed
// that fails or lies costs delay and never a change.
//
// # When a step fails
//
// Its version is tried again, after pauses that double from a second to RetryMax,
// while everything else goes on. What that means for the position depends on
// whether anything but the feed would bring the change back after a crash:
//
//	                        without Pending, as of Each     with Pending
//	handled is a version    that is done, left alone,       whose first step has
//	                        quarantined, or superseded      returned, even with an error
//	a crash repeats         all that is not handled, and    what has no step behind it;
//	                        what was read after it          the list brings the rest
//	fails for GiveUpAfter   is quarantined, if others       is tried for ever
//	                        succeed meanwhile
//	all fail                reading pauses once Waiting     the feed is read on
//	                        versions are unfinished
//
// A version whose step panics is quarantined at once: a record with a time to live
// in the lease container, which holds back no position. Log, metrics and Snapshot
// show it. It is tried again when its record has ended, or has been removed
// (Records.Remove); a newer version is tried as any other.
//
// # Guarantees
//
// If the handler bears repetition:
//
//	                             this package                           .NET's processor, by default
//	each change is handled       at least once, in its latest           at least once, but for the first
//	                             version                                batch of a lease, if that fails
//	order                        one document: never two versions at    one batch of a range at a time
//	                             once, none after a newer one
//	a change that fails          is tried again alone                   fails its batch, which holds up
//	                                                                    the range
//	and does so for ever         is quarantined and seen                stops its range for ever
//	stored is a position         before which all is handled            of the last batch
//	and at once at the start     yes, before anything is delivered      no
//	a crash repeats              what was not handled, and what was     the last batch
//	                             handled since the last checkpoint
//	who was stopped for long     is told so (Item.Trusted), and         goes on until it renews or
//	and wakes up                 stores nothing any more                checkpoints
//
// Not promised, by either: that intermediate versions and deletions are seen, that
// a version is handled only once, and order between documents. Config.LooksBeside
// of 1 lets the changes of one partition key follow each other in the order of the
// feed, but for those that are tried again.
package processor
