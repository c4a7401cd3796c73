// Package simulation holds whole clusters in testing/synctest bubbles: up to five
// replicas with real clients, an emulated account, a simulated Cluster Service, and
// a front end that contends for the locks, while replicas crash, freeze and come
// back, requests fail, and ranges are split and merged. One seed decides all of
// it. It has no other code.
//
// # What is checked, and when
//
// Every request passes a tap, which lets the account apply one at a time and looks
// at each before its reply is failed, delayed or lost: what is checked is what was
// stored, not what somebody was told. The numbers are those of docs/invariants.md.
//
//   - 1, every second: once nothing has been disturbed for two expiries, every
//     pending operation is asked for again and again. At the end: every operation
//     is terminal as Cluster Service says.
//   - 2, on every write of an operation: a terminal status stays, and
//     lastTransitionTime moves only with the status.
//   - 3, on every batch of a replica: the resources in it follow the operation in
//     it, which they named; with a terminal status the link is gone. That all
//     resources were in it is checked at the end: a batch may rightly leave one
//     out, and the backstop follows it.
//   - 4, on every write to the monitored container as it leaves a replica: it is
//     conditional, and the replica has a lease of that key whose last applied
//     renewal started less than Expiry − Margin ago. Writes to leases are
//     conditional, too, and none takes a lease that its owner still trusts.
//   - 5, on the same writes: nobody else, whose lease of that key is still open,
//     has written for this subscription. That one replica handles a subscription's
//     changes in order is not seen from here; processor/dispatch tests that.
//   - 6, on every write of a lease: its position does not move back, that of a
//     child does not begin before or behind its parent's, and it does not pass a
//     version of an operation of the front end of which nobody has asked Cluster
//     Service since. Only what must be asked for counts: pending, with an internal
//     id, no credential; and only while no fault keeps the replica from asking.
//   - 7, on every read of the feed from a position: the reader has a lease of that
//     range; on every acquisition: leases that can be read do not overlap; every
//     second: once nothing has been disturbed for two expiries every range has an
//     owner, and its position has passed everything that is two expiries old.
//   - 8: the front end sprinkles in malformed documents; the last check finds it if
//     one of them holds a range up. At the end each has its quarantine record.
//   - 9, at the end, and as ARM is told: at least once, and only what is stored.
//   - 10 is not checked here: what may be called, and what is logged, does not
//     depend on how replicas meet.
//
// # What does not go wrong here
//
// Reads of the account, the database and a container's properties always succeed:
// azcosmos holds a mutex meanwhile, and who waits for a mutex stops the clock of a
// bubble. A pause stops what a replica sends and gets, not its timers: what it would
// do before its timers run, as a process that was stopped does, is not seen.
//
// # What is repeatable
//
// The seed decides the whole plan (which replica crashes when, how long it
// freezes, where a range is split) and the operations. Which requests are hit by a
// fault follows from the seed and from which client sends which request for the
// how-manieth time, not from the order in which requests of several come. Not
// repeatable are the order in which goroutines run that are runnable at the same
// simulated moment, and what the product itself draws: start ids, and the jitter of
// its pauses. So a seed that failed fails again mostly, not always.
package simulation
