//go:build race

package system_test

// everyWrite is how dense the kills of TestKilledAtEveryWrite are. The race
// detector makes each of them ten times dearer; without it all are done.
const everyWrite = 6
