// Package cs asks Cluster Service (CS, Red Hat OCM) how far the work on a
// cluster, a node pool, an external auth or a break-glass credential is.
//
// It is a thin layer over ocm-sdk-go that adds what the SDK lacks: a deadline
// on every call, a bound on calls in flight and on their rate, a connection
// pool of the right size, and a reading of replies that never takes "no usable
// answer" for "gone". A failure is one of three things:
//
//   - [ErrNotFound]: CS itself says, in its own JSON, that the object does not
//     exist;
//   - an [*UnavailableError]: no answer of CS was had (server error, throttled,
//     connection, deadline, a proxy's page, refused credentials, no free place in
//     time, no call made since none is answered, the caller's own context); nothing
//     is known about the object;
//   - any other error: CS answered, and the answer is of no use (or the Ref was
//     put together by hand, and wrongly).
//
// A call that has to wait for a free place or for the rate limit waits for at most
// Config.Timeout, and then has Config.Timeout for itself: it is over after twice
// that.
//
// When calls in a row get no answer, whatever they ask for, calls are not made any
// more, but for one every few seconds, and fail at once; the first answer ends that.
//
// A list is read to its end, whatever its pages, or is an error; each page is a
// call, and counts as one.
//
// A [Sweep] saves calls where many objects are looked at again and again: it learns
// from lists that nothing has changed.
//
// States are passed on as CS spells them, unknown ones included.
package cs
