//go:build !race

package system_test

import "time"

const (
	everyWrite = 1
	shortHour  = 4 * time.Minute

	outboxHour, outboxRestarts = time.Hour, 10
)
