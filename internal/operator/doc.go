// Package operator is what an operator asks and orders from the command line: which
// operations there are and what each waits for, everything about one of them, and
// the end of a quarantine; who reads which range of the change feed, how far it is
// behind, and that it is given up or read from somewhere else.
//
// It reads the documents, the leases and the quarantine records themselves and talks
// to no replica: it works while none runs, and what it orders reaches them through
// the lease container.
//
// What documents hold is hostile. Nothing but printable characters reaches the
// output, bounded in length, and nothing that looks like a secret: see shown.
package operator
