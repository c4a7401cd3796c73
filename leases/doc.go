// Package leases decides who reads which range of a Cosmos DB container's change
// feed, and for how long.
//
// Every range has one document in a lease container: its owner and the position
// up to which its changes were handled. The documents have the schema of the
// .NET change feed processor, version 0 (the token is the id of a physical
// partition), so that .NET's estimator and the KEDA scalers read our lag. What
// this package adds – start id, epoch, renewal – is in their properties.
//
//	          acquire: owner = me, epoch+1
//	          (the document is free, expired, or my own orphan)
//	┌──────┐ ─────────────────────────────────────────▶ ┌───────┐
//	│ free │                                            │ owned │ ◀─┐ renew, with the
//	└──────┘ ◀───────────┐                              └───────┘ ──┘ newest checkpoint
//	   ▲                 │ last checkpoint               │     │
//	   │                 │ and owner = null,     stop:   │     │ the document shows another
//	   │                 │ in one write          serve   │     │ owner, start id or epoch; it is
//	   │            ┌──────────┐                 returns │     │ gone; or the trust window closed
//	   │            │ draining │ ◀───────────────────────┘     ▼
//	   │            └──────────┘ ───────────────────────▶ ┌──────┐
//	   │                          the same               │ lost │ no checkpoint, no release
//	   │                                                  └──────┘
//	   └── (seen by others: nothing changed for Expiry) ─────┘
//
// A Manager lists the documents every AcquireInterval, lets the pure Plan say
// what to take, and runs one Serve per lease it holds. One goroutine writes a
// held document: it renews RenewInterval after the last write, or earlier when
// there is a checkpoint, but checkpoints at most once per CheckpointInterval.
// A checkpoint is a renewal, so that both cost one write.
//
// # The trust window
//
// Clocks of two machines are never compared. A peer's lease has expired when
// its owner, start id, epoch and renewal have not changed for the full Expiry on
// the observer's monotonic clock, counted from the first time it saw them; any
// write of a tenure raises the renewal. The holder trusts its lease until
//
//	start of the last write that succeeded + Expiry − Margin
//
// on its own monotonic clock. An observer can have seen that write only after it
// started, so that the holder stops at least Margin before anyone else starts.
// Margin pays for clocks that run at different speeds and for writes of the work
// that are still on their way. When the window closes, a timer cancels the work
// with ErrLost, and Tenure.Trusted says so even if the process was stopped and
// the timer has not run. Once closed it stays closed; a lease that nobody else
// took is then acquired anew, with a higher epoch.
//
// # What a crash leaves behind
//
// Every change of a document is one conditional write, so that there is nothing
// between two states. For each write, whether the process dies before it, after
// it, or the reply is lost:
//
//   - create: the document is there or not; somebody creates it later, and 409
//     means that it was done.
//   - acquire: applied without a reply, the lease looks owned. This process
//     takes it again at its next listing (the start id is its own), another one
//     after Expiry.
//   - renew, checkpoint: the stored position is the old or the new one, both
//     handled. Others take the lease after Expiry and go on from there.
//   - release: free at once, or after Expiry; the position as above.
//
// A write that is refused (412, 404) is looked at: with the same owner, start id
// and epoch it was our own whose reply was lost, or somebody left a note in the
// document. Its ETag is adopted and the newest state written onto it. Otherwise
// the lease is lost. A position that was given is therefore stored or not, never
// replaced by an older one of the same tenure, and a new tenure starts from what
// is stored. Serve must expect to see again whatever it did not checkpoint.
//
// Two processes with one instance name fence each other by start id; two tenures
// of one process by epoch.
//
// # What is left alone
//
// Anybody may put anything into the container. A document covers part of the key
// space only if somebody serves it, or will:
//
//   - it is a lease of a live range: version 0, under the id of its token;
//   - it is not for us to take, but its owner keeps it: version 1, of .NET, or of
//     a range that was merged with another. What has not changed for Expiry
//     (version 1: for .NET's minute, if that is longer) is nobody's;
//   - it is the lease of a range that was split into live ranges none of which
//     has a lease, and has a position or properties of ours. It is served,
//     though it cannot be read, so that what is pending there is found by listing.
//
// All else is listed, reported once, and neither taken nor changed, and the live
// ranges get leases of their own beside it. The one exception is a document that
// is of no use and lies under the id that such a lease needs: when it has not
// changed for as long, it is replaced, on the condition that it is still the one
// that was seen. Fields and properties that are not ours stay, and so does a
// position that is surely of this range.
//
// A lease of a live range is served for the range that its token has, whatever
// range is written in it.
//
// # A trap in azcosmos 1.5.0
//
// A client that cannot read its account the first time keeps that error for five
// minutes and sends nothing meanwhile. A Manager over such a client comes up
// when the client does. Whoever builds the client should see one request of it
// succeed, or build another, before it hands it to a Store.
package leases
