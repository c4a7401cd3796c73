// Package house holds the code to what the documents say of it: layers and
// imports, doc comments, links, decision records, the tests that the list of
// invariants names. It has tests only.
package house
