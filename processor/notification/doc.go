// Package notification tells Azure Resource Manager (ARM) the outcome of one
// operation: one POST to the URI that ARM gave when the operation began.
//
// When to send, how often and until when is the caller's affair. For that a
// failure is one of two things:
//
//   - a [*RefusedError]: this notification will never get through, because its
//     URI is not allowed or because of what ARM answered; trying again is of no
//     use;
//   - an [*UnavailableError]: anything else (no connection, no answer in time, an
//     answer that may change); the notification may have arrived all the same.
//
// So at least once is what a caller can promise, and never exactly once.
//
// The URI comes from a header of a request, so it may name anything, and its
// query holds what ARM knows the sender by. Hence the rules, which no
// configuration switches off: https to port 443 of an allowed host, no redirect
// followed, no proxy, no connection to an address that is not of the public
// internet, and neither the URI beyond its host nor any text of an answer in an
// error. docs/decisions/0009-notification-sender.md has the reasons.
package notification
