// Package operator is what an operator asks and orders from the command line: which
// operations there are and what each waits for, everything about one of them, and
// the end of a quarantine.
//
// It reads the documents and the quarantine records themselves and talks to no
// replica: it works while none runs, and what it orders reaches them through the
// lease container.
//
// What documents hold is hostile. Nothing but printable characters reaches the
// output, bounded in length, and nothing that looks like a secret: see shown.
package operator
