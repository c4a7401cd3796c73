// Package conformance tests what opfeed relies on of Cosmos DB, against any
// account: the emulator, started by the tests themselves, or one that a flag
// names. It has tests only. docs/conformance.md says how to run them.
package conformance
