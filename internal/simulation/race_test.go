//go:build race

package simulation_test

import "time"

// The race detector makes everything several times dearer.
const (
	fewSeeds   = 2
	deathStep  = 10 // of the requests in which TestFieldBug03FirstBatch kills
	dear       = true
	fewMinutes = 4 * time.Minute
)
