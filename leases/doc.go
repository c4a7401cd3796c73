// Package leases decides who reads which range of a Cosmos DB container's change
// feed, and for how long.
//
// Every range has one document in a lease container: its owner and the position
// up to which its changes were handled. The documents have the schema of the
// .NET change feed processor, so that its estimator and the KEDA scalers read our
// lag: version 0 (the token is the id of a physical partition), or version 1 (the
// token is a range of effective partition keys) for a part of one. What this
// package adds – start id, epoch, renewal, request, offer – is in their
// properties.
//
//	          acquire: owner = me, epoch+1
//	          (the document is free, expired, or was given to me)
//	┌──────┐ ─────────────────────────────────────────▶ ┌───────┐
//	│ free │                                            │ owned │ ◀─┐ renew, with the
//	└──────┘ ◀───────────┐                              └───────┘ ──┘ newest checkpoint
//	   ▲                 │ last checkpoint               │  │  │
//	   │                 │ and owner = null, or          │  │  │ the document shows another
//	   │                 │ whoever asked for it,         │  │  │ owner, start id or epoch; it is
//	   │                 │ in one write                  │  │  │ gone; or the trust window closed
//	   │            ┌──────────┐   stop, or asked for:   │  │  │
//	   │            │ draining │ ◀── serve returns ──────┘  │  ▼
//	   │            └──────────┘ ────────────────────────▶ ┌──────┐
//	   │                          the same               │ │ lost │ no checkpoint, no release
//	   │              split or merged: serve returns     │ └──────┘
//	   │            ┌───────────┐ ◀──────────────────────┘
//	   │            │ replacing │ create what follows, delete this
//	   │            └───────────┘
//	   └── (seen by others: nothing changed for Expiry)
//
// A Manager lists the documents every AcquireInterval, and at the moment when one
// of them expires, lets the pure Plan say what to do, and runs one Serve per
// lease it holds. One goroutine writes a held document: it renews RenewInterval
// after the last write, or earlier when there is a checkpoint, but checkpoints at
// most once per CheckpointInterval. A checkpoint is a renewal, so that both cost
// one write.
//
// # Shares
//
// With P leases and W hosts everybody has P/W, some one more. A host is seen by
// the leases it owns; while it owns none it has a record of its own,
// {prefix}.host.{start id}, which it renews. Nobody takes a lease that has not
// expired. A host with less than its share writes a request into leases of those
// that have more; the owner sees it at its next listing or write, finishes, and
// makes the other the owner in its last write. The other looks every 100 ms, and
// goes on at once. If it has died meanwhile, the lease expires as any other. Who
// leaves, or has waited for four listings, takes its request back, and gives back
// what it has been given after all.
//
// What others leave lying – a host that is counted may be unable to take its share
// – is taken by whoever sees it half an expiry later. A host whose acquisitions are
// applied twice without a reply in time takes nothing for three expiries and more,
// as long as there are others, or may be: each try would keep the lease from them
// and serve nobody. It takes again what none of them has taken half an expiry after
// it expired.
//
// A host that stops writes into its leases to whom it would like to give them,
// the one with the fewest leases that stays, goes on working for up to two
// listing intervals, and hands over what is asked for. What nobody asks for it
// gives back.
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
//   - release, hand-over: free or the other's at once, or after Expiry; the
//     position as above.
//   - request, offer: they are there or not, and bind nobody.
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
// # Splits and merges
//
// A lease can be read as it is if it is one live range (version 0) or lies in one
// (version 1). When its range is split, or merged with a neighbour, its holder
// stops reading, creates the leases that follow – one for each live range, or part
// of one, that the old range is made of – at the last position that was handled,
// and then deletes the old one. Nobody else does, and nobody reads a lease that
// cannot be read as it is: so no key is read twice at a time, and none of a
// sibling's changes is passed over. A process that finds such a lease free or
// expired, as after a split while nobody ran, takes it for nothing else.
//
// Creations are conditional on there being no such lease, the deletion on the
// version that was held, and a listing before it must show that others cover the
// whole range. So whatever line it dies at, the next holder does what is left. A
// lease that others cover completely is only deleted.
//
// The live ranges must be true, not what some cache believes: Deps.Ranges is asked
// anew before anything is created or deleted.
//
// # What is left alone
//
// Anybody may put anything into the container. A document covers part of the key
// space only if it can be read as it is, or was a lease of a processor once (it
// has a position, or properties of ours) whose range was split or merged. All else
// is listed, reported once, and neither taken nor changed, and the live ranges get
// leases of their own beside it. Leases are made for keys that all listings of an
// interval and a half show uncovered, and at once in a container that was never seen
// to have any. The one exception is a
// document that is of no use and lies under the id that such a lease needs: when it
// has not changed for Expiry, it is replaced, on the condition that it is still the
// one that was seen. Fields and properties that are not ours stay, and so does a
// position that is surely of this range. A lease of .NET's feed with deletions is
// such a document, too: neither its mode nor its position is kept.
//
// A lease whose owner has no start id is one of .NET's: it is left for a minute,
// .NET's expiry, and never asked for. (Its hosts keep the start id of whoever had
// the lease before. So it is stored with the owner's name, and with another one
// beside it does not count.) A lease of a live range is served for the
// range that its token has, whatever range is written in it.
//
// # A trap in azcosmos 1.5.0
//
// A client that cannot read its account the first time keeps that error for five
// minutes and sends nothing meanwhile. A Manager over such a client comes up
// when the client does. Whoever builds the client should see one request of it
// succeed, or build another, before it hands it to a Store.
package leases
