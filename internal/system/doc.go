// Package system holds the tests of the whole: real clients, emulated servers,
// one replica or several after each other, and a front end that knows in the end
// whether an operation was lost. It has no other code.
package system
