//go:build !race

package system_test

import "time"

const (
	everyWrite = 1
	shortHour  = 4 * time.Minute
	fewMutants = 2000

	outboxHour, outboxRestarts = time.Hour, 10
)
