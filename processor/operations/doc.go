// Package operations moves one operation by one step: from its document and
// Cluster Service's answer to what has to be written, and how.
//
// It knows no feed and no engine, only the terms of processor/dispatch. Whoever
// drives it calls
//
//   - [Handler.Route] for every document of the change feed: pure and cheap,
//   - [Handler.Handle] for a document that Route takes or Pending lists: it only
//     looks, and may run beside other looks,
//   - the func that Handle returns: it decides with the pure [Next] and writes. At
//     most one such func may run at a time for one partition,
//   - [Handler.Pending] for what has to be looked at whatever the feed says.
//
// An operation and the resources that name it as their active operation are
// written in one transactional batch, each on the condition that it is still the
// version that was decided from. Documents of three generations lie side by side
// in the container; they are patched where a field is found, never replaced, so
// that properties that nobody here knows survive.
package operations
