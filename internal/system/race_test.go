//go:build race

package system_test

import "time"

// The race detector makes everything several times dearer; without it nothing
// is left out.
const (
	everyWrite = 6           // how dense the kills of TestKilledAtEveryWrite are
	shortHour  = time.Minute // how long the faults of TestHours last
	fewMutants = 500         // how many documents TestMutants makes

	outboxHour, outboxRestarts = 10 * time.Minute, 10 // of TestOwedNotificationsOutliveAnHour
)
