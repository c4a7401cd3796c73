//go:build !race

package simulation_test

import "time"

const (
	fewSeeds   = 4
	deathStep  = 4 // of the requests in which TestFieldBug03FirstBatch kills
	dear       = false
	fewMinutes = 10 * time.Minute
)
